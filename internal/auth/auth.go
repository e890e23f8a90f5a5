// Package auth reads the credentials of the service: a file of bearer tokens for its clients, and a
// TLS certificate with its key. Both can be reloaded while in use. A reload that fails changes
// nothing.
//
// No error of this package contains a token or a part of a key.
package auth

// maxFileBytes is the maximum size of a token, certificate or key file.
const maxFileBytes = 1 << 20
