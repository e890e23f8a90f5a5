package main

/*
#include "internal.h"
#include "proposer.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/optparse"
	"github.com/proposer/proposer/internal/parallel"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/selective"
)

// call runs f, sets *result to what it returns, and returns the status and sets the last error of its
// error. Exported functions consist of it, so that no panic reaches C.
func call[T any](token C.uintptr_t, result **T, f func(context.Context) (*T, error)) (status C.int) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch p := recover().(type) {
		case nil:
		case *parallel.Panic:
			status = fail(fmt.Errorf("internal error: %w", p))
		default:
			status = fail(fmt.Errorf("internal error: %v\n\n%s", p, debug.Stack()))
		}
	}()
	if result == nil {
		return fail(&argumentError{"result: NULL, want a pointer to the result"})
	}
	*result = nil
	ctx, err := tokenContext(uintptr(token))
	if err != nil {
		return fail(err)
	}
	r, err := f(ctx)
	if err != nil {
		return fail(err)
	}
	*result = r
	return C.PROPOSER_OK
}

// An argumentError reports an invalid argument that is neither an option nor an image.
type argumentError struct{ text string }

func (e *argumentError) Error() string { return e.text }

// An imageError reports an invalid proposer_image.
type imageError struct{ text string }

func (e *imageError) Error() string { return e.text }

// errNoMemory reports that malloc returned NULL.
var errNoMemory = errors.New("not enough memory for the result")

// fail sets the last error of this thread and returns the status of err.
func fail(err error) C.int {
	text := []byte(strings.ReplaceAll(message(err), "\x00", "\uFFFD"))
	C.proposer_set_last_error((*C.char)(unsafe.Pointer(unsafe.SliceData(text))), C.size_t(len(text)))
	return statusOf(err)
}

// statusOf returns the status of an error.
func statusOf(err error) C.int {
	is := func(targets ...any) bool {
		for _, target := range targets {
			if errors.As(err, target) {
				return true
			}
		}
		return false
	}
	switch {
	case len(propose.OptionErrors(err)) > 0, is(new(*imageio.DepthError), new(*argumentError)):
		return C.PROPOSER_INVALID_OPTION
	case is(new(*imageError), new(*imageio.FormatError)), errors.Is(err, imageio.ErrUnsupported):
		return C.PROPOSER_INVALID_IMAGE
	case is(new(*imageio.LimitError), new(*selective.TooManyRegionsError)):
		return C.PROPOSER_LIMIT
	case errors.Is(err, context.Canceled):
		return C.PROPOSER_CANCELED
	case errors.Is(err, errNoMemory):
		return C.PROPOSER_NO_MEMORY
	}
	return C.PROPOSER_INTERNAL
}

// message returns the text of an error, without the name of a package before it: one line, unless the
// error is internal and has a stack for a report.
func message(err error) string {
	if errors.Is(err, context.Canceled) {
		return "the call was canceled"
	}
	if text := optparse.Message(err); text != "" {
		return text
	}
	return strings.TrimPrefix(err.Error(), "selective: ")
}

// Tokens are numbers, so that one that was freed is recognized. C holds them as pointers.
var (
	tokens    sync.Map // of *token by uintptr
	lastToken atomic.Uintptr
)

type token struct {
	ctx    context.Context
	cancel context.CancelFunc
}

// tokenContext returns the context that ends when a token is canceled.
func tokenContext(number uintptr) (context.Context, error) {
	if number == 0 {
		return context.Background(), nil
	}
	t, ok := tokens.Load(number)
	if !ok {
		return nil, &argumentError{"token: it was freed, or was not returned by proposer_token_new"}
	}
	return t.(*token).ctx, nil
}

//export goTokenNew
func goTokenNew() C.uintptr_t {
	ctx, cancel := context.WithCancel(context.Background())
	number := lastToken.Add(1)
	tokens.Store(number, &token{ctx, cancel})
	return C.uintptr_t(number)
}

//export goTokenCancel
func goTokenCancel(number C.uintptr_t) {
	if t, ok := tokens.Load(uintptr(number)); ok {
		t.(*token).cancel()
	}
}

//export goTokenFree
func goTokenFree(number C.uintptr_t) { tokens.Delete(uintptr(number)) }
