/** The server refused a request (RFC 9457). Decide by `code`; a declined card is no error. */
export class APIError extends Error {
  /**
   * @param {number} status of HTTP
   * @param {{code?: string, detail?: string, requestId?: string, errors?: object[]}} problem
   * @param {number} retryAfterS what the server asked for, or 0
   */
  constructor(status, problem, retryAfterS) {
    super(`${status} ${problem.code ?? 'unknown'}: ${problem.detail ?? 'no problem document'}`
      + ` (request ${problem.requestId ?? 'unknown'})`);
    this.name = 'APIError';
    this.status = status;
    this.code = problem.code ?? 'unknown';
    this.requestId = problem.requestId ?? '';
    this.errors = problem.errors ?? [];
    this.retryAfterS = retryAfterS;
  }
}

/** No try was answered: what became of the request is unknown. Repeat it with its key. */
export class ConnectionLostError extends Error {
  /**
   * @param {string} reason
   * @param {string} idempotencyKey of the request, or empty
   * @param {unknown} cause
   */
  constructor(reason, idempotencyKey, cause) {
    super(reason, { cause });
    this.name = 'ConnectionLostError';
    this.idempotencyKey = idempotencyKey;
  }
}
