/** The package comes without types. */
declare module 'bcrypt-pbkdf' {
  interface BcryptPbkdf {
    /** Fills `key`; 0, or -1 for lengths that it does not take. */
    readonly pbkdf: (
      pass: Uint8Array,
      passLength: number,
      salt: Uint8Array,
      saltLength: number,
      key: Uint8Array,
      keyLength: number,
      rounds: number,
    ) => 0 | -1
  }
  const bcrypt: BcryptPbkdf
  export default bcrypt
}
