package api

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"runtime"
	"strings"

	"github.com/proposer/proposer/internal/clip"
)

// maxLogTexts is the maximum size of the texts of a log line. With the names of the attributes and the
// numbers the line is below 4 KiB.
const maxLogTexts = 3 << 10

// clipHandler shortens the texts of log lines, as what a client sends may be long.
type clipHandler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h clipHandler) Handle(ctx context.Context, r slog.Record) error {
	short := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	texts := []*string{&short.Message}
	attrs := make([]slog.Attr, 0, r.NumAttrs())
	values := make([]*string, 0, r.NumAttrs()) // of attrs; nil for numbers
	r.Attrs(func(a slog.Attr) bool {
		a.Value = a.Value.Resolve()
		var text *string
		switch a.Value.Kind() {
		case slog.KindString, slog.KindAny, slog.KindGroup:
			s := a.Value.String()
			text = &s
			texts = append(texts, text)
		}
		attrs = append(attrs, a)
		values = append(values, text)
		return true
	})
	clip.Texts(maxLogTexts, texts...)
	for i, text := range values {
		if text != nil {
			attrs[i].Value = slog.StringValue(*text)
		}
	}
	short.AddAttrs(attrs...)
	return h.Handler.Handle(ctx, short)
}

// WithAttrs implements slog.Handler.
func (h clipHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return clipHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h clipHandler) WithGroup(name string) slog.Handler {
	return clipHandler{h.Handler.WithGroup(name)}
}

// maxPanicValue is the maximum size of the value of a panic in the log.
const maxPanicValue = 512

// panicError returns an error with the value of a recovered panic and the innermost functions that were
// executing. It must be called while recovering. Unlike debug.Stack the list fits in a log line.
func panicError(v any) error {
	var b strings.Builder
	fmt.Fprintf(&b, "panic: %s", clip.Text(fmt.Sprint(v), maxPanicValue))
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for more := true; more; {
		var frame runtime.Frame
		if frame, more = frames.Next(); !strings.HasPrefix(frame.Function, "runtime.") {
			fmt.Fprintf(&b, "\n%s %s:%d", frame.Function, path.Base(frame.File), frame.Line)
		}
	}
	return fmt.Errorf("%s", &b)
}
