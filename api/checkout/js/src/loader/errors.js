// The one kind of error that a page meets.

export class TurnoutError extends Error {
  constructor({ code, field = null, message }) {
    super(message);
    this.name = 'TurnoutError';
    this.code = code;
    this.field = field;
  }
}

export const fail = (code, message) => new TurnoutError({ code, message });
