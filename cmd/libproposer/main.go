// Libproposer is the C library: selective search for programs in C, C++, Python and other languages.
// Its functions are declared and documented in proposer.h; those in proposer.c call the exported
// functions of this package.
//
//	CGO_ENABLED=1 go build -buildmode=c-shared -o libproposer.so ./cmd/libproposer
package main

/*
#cgo CFLAGS: -std=c11 -Wall -fvisibility=hidden
#cgo !windows LDFLAGS: -pthread
#cgo linux LDFLAGS: ${SRCDIR}/exports.o
#cgo windows LDFLAGS: -Wl,-Bstatic -lpthread -Wl,-Bdynamic
#include "internal.h"
#include "proposer.h"
*/
import "C"

import (
	"context"
	"runtime/debug"
	"sync"
	"unsafe"

	"github.com/proposer/proposer/internal/propose"
)

func main() {} // never called, but a C library must have it

// linked is set by the linker: -ldflags "-X main.linked=v1.2.3".
var linked string

var version = sync.OnceValue(func() *C.char {
	v := linked
	if info, ok := debug.ReadBuildInfo(); ok && v == "" {
		v = info.Main.Version
	}
	if v == "" {
		v = "unknown"
	}
	return C.CString(v)
})

//export goVersion
func goVersion() *C.char { return version() }

//export goSearch
func goSearch(image *C.proposer_image, options *C.char, token C.uintptr_t, result **C.proposer_result) C.int {
	return call(token, result, func(ctx context.Context) (*C.proposer_result, error) {
		opts, err := parseSearch(C.GoString(options))
		if err != nil {
			return nil, err
		}
		r, err := searchImage(ctx, image, opts)
		if err != nil {
			return nil, err
		}
		return newResult(ctx, r, opts.Search.KeepRegions)
	})
}

// searchImage searches an image of C.
func searchImage(ctx context.Context, image *C.proposer_image, opts propose.Options) (*propose.Result, error) {
	img, err := readImage(image, opts.Decode.Limits)
	if err != nil {
		return nil, err
	}
	defer recycle(img)
	return propose.RunImage(ctx, img, opts)
}

//export goSearchFile
func goSearchFile(data unsafe.Pointer, size C.size_t, options *C.char, token C.uintptr_t, result **C.proposer_result) C.int {
	return call(token, result, func(ctx context.Context) (*C.proposer_result, error) {
		opts, err := parseSearch(C.GoString(options))
		if err != nil {
			return nil, err
		}
		file, err := readFile(data, uint64(size), opts.Decode.Limits)
		if err != nil {
			return nil, err
		}
		r, err := propose.Run(ctx, file, opts)
		if err != nil {
			return nil, err
		}
		return newResult(ctx, r, opts.Search.KeepRegions)
	})
}

//export goSegment
func goSegment(image *C.proposer_image, options *C.char, token C.uintptr_t, result **C.proposer_labels) C.int {
	return call(token, result, func(ctx context.Context) (*C.proposer_labels, error) {
		opts, err := parseSegment(C.GoString(options))
		if err != nil {
			return nil, err
		}
		img, err := readImage(image, opts.Decode.Limits)
		if err != nil {
			return nil, err
		}
		defer recycle(img)
		s, err := propose.SegmentImage(ctx, img, opts)
		if err != nil {
			return nil, err
		}
		return newLabels(s)
	})
}

//export goSegmentFile
func goSegmentFile(data unsafe.Pointer, size C.size_t, options *C.char, token C.uintptr_t, result **C.proposer_labels) C.int {
	return call(token, result, func(ctx context.Context) (*C.proposer_labels, error) {
		opts, err := parseSegment(C.GoString(options))
		if err != nil {
			return nil, err
		}
		file, err := readFile(data, uint64(size), opts.Decode.Limits)
		if err != nil {
			return nil, err
		}
		s, err := propose.Segment(ctx, file, opts)
		if err != nil {
			return nil, err
		}
		return newLabels(s)
	})
}

//export goTree
func goTree(image *C.proposer_image, options *C.char, token C.uintptr_t, result **C.proposer_merge_tree) C.int {
	return call(token, result, func(ctx context.Context) (*C.proposer_merge_tree, error) {
		opts, err := parseTree(C.GoString(options))
		if err != nil {
			return nil, err
		}
		r, err := searchImage(ctx, image, opts)
		if err != nil {
			return nil, err
		}
		return newTree(ctx, r)
	})
}
