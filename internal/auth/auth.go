// Package auth holds what a service lets its clients in by, and shows them that it is
// the one they mean: a file of tokens, and a certificate with its key. Both can be read anew
// while they are in use; a file that cannot be used then changes nothing.
//
// No error of this package, and nothing else that it tells, holds a token or a part of a key.
package auth

// maxFileBytes bounds the files, in bytes: the tokens', the certificate's and the key's.
const maxFileBytes = 1 << 20
