// The one window message, beside the port: from the loader to the document that it has mounted.

export const CONNECT = 'turnout.connect';
export const VERSION = 1;
