// Package cstderr captures what C and C++ code prints on standard error, by its streams stderr, cerr and
// clog. Image decoders print texts from the files that they read there, which could look like lines of a
// log.
//
// File descriptor 2 stays what it is, so that the messages of the Go runtime, of a failed assertion or
// of malloc reach standard error.
package cstderr
