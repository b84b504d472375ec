// Whether a window message is the loader's greeting.

import { CONNECT, VERSION } from '../shared/connect.js';
import { matching, object, oneOf, shaped } from '../shared/shapes.js';

export const isConnect = shaped({
  turnout: oneOf([CONNECT]),
  version: oneOf([VERSION]),
  session: matching(/^[0-9a-f]{32}$/),
  clientSecret: matching(/^pi_[0-9A-Za-z]{22}_secret_[A-Za-z0-9_-]{16,64}$/),
  appearance: object,
});
