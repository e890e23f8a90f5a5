// Proposer finds boxes that are likely to contain objects. It is a command line program and an HTTP
// service.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/proposer/proposer/internal/batch"
	"github.com/proposer/proposer/internal/batch/blobstore"
	"github.com/proposer/proposer/internal/batch/source"
	"github.com/proposer/proposer/internal/config"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailed      = 1   // an image or the service failed
	exitUsage       = 64  // EX_USAGE of sysexits.h; 2 is that of a Go panic
	exitInterrupted = 130 // 128 + SIGINT
)

const description = `Object proposals by selective search: boxes that are likely to contain objects, best first.

Exit codes: 0: done. 1: an image or the command failed. 64: the command line or a setting is invalid. 130: interrupted.`

type cli struct {
	Propose proposeCmd `cmd:"" help:"Print the boxes of images."`
	Batch   batchCmd   `cmd:"" help:"Write the boxes of a folder, data set or bucket to files. Resumable; can be distributed over machines."`
	Rois    roisCmd    `cmd:"" help:"Write sampled and labeled RoIs of a data set, for training a detector, to files."`
	Segment segmentCmd `cmd:"" help:"Write the regions of images, also called superpixels, as label images."`
	Merge   mergeCmd   `cmd:"" help:"Finish a batch that was distributed over machines."`
	Eval    evalCmd    `cmd:"" help:"Evaluate proposals on a data set: recall, AR, MABO."`
	Serve   serveCmd   `cmd:"" help:"Run the HTTP service, which includes a web page for viewing boxes."`
	Train   trainCmd   `cmd:"" help:"Train a ranking model on annotated images."`
	Health  healthCmd  `cmd:"" help:"Check the health of a service on this machine: exit code 0 or 1."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// streams are the standard streams of a command.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// usageError is an error in the command line or in the settings.
type usageError struct{ error }

// errImagesFailed reports that images failed, each of which has been reported.
var errImagesFailed = errors.New("an image failed")

// exit is the value of the panic by which kong's help flag ends the program.
type exit int

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills the process
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// run runs the program in this process and returns its exit code.
func run(ctx context.Context, args []string, std streams) (code int) {
	defer func() {
		if v := recover(); v != nil {
			c, ok := v.(exit)
			if !ok {
				panic(v)
			}
			code = int(c)
		}
	}()
	values := config.New()
	command, err := newParser(ctx, std, values).Parse(args)
	if err := errors.Join(values.Err(), err); err != nil {
		return exitCode(std, usageError{err})
	}
	return exitCode(std, command.Run())
}

// newParser returns the parser of the command line. It keeps the values of flags in values.
func newParser(ctx context.Context, std streams, values *config.Settings) *kong.Kong {
	options := append(values.Options(),
		kong.Name("proposer"),
		kong.Description(description),
		kong.Writers(std.out, std.err),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		flagDefaults(),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(std),
	)
	parser, err := kong.New(&cli{}, options...)
	if err != nil {
		panic(err) // a struct tag is malformed
	}
	return parser
}

// isUsage reports whether an error is in the command line or in the settings, so that running the same
// command again is pointless.
func isUsage(err error) bool {
	if _, ok := errors.AsType[usageError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*batch.ConfigMismatchError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*source.PatternError](err); ok {
		return true
	}
	location, ok := errors.AsType[*blobstore.Error](err)
	return ok && location.Invalid
}

// exitCode prints an error, one line for each part, and returns the exit code for it.
func exitCode(std streams, err error) int {
	switch ok := isUsage(err); {
	case err == nil:
		return exitOK
	case ok:
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintln(std.err, "proposer:", line)
		}
		return exitUsage
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(std.err, "proposer: interrupted")
		return exitInterrupted
	case errors.Is(err, syscall.EPIPE), errors.Is(err, errImagesFailed):
		return exitFailed // the reader has closed the pipe; or all errors are reported
	}
	fmt.Fprintln(std.err, "proposer:", err)
	return exitFailed
}
