// Proposer finds boxes that may hold objects: on the command line, and as a service.
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

	"github.com/proposer/proposer/internal/config"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1 // a picture, or the service, failed
	exitUsage       = 2
	exitInterrupted = 130 // as shells have it for SIGINT
)

const description = `Boxes that may hold objects, best first (selective search).`

type cli struct {
	Propose proposeCmd `cmd:"" help:"Print the boxes of pictures, one line a picture."`
	Batch   batchCmd   `cmd:"" help:"Write the boxes of a whole folder, data set or bucket to files: goes on where it was broken off, shares the work among machines."`
	Rois    roisCmd    `cmd:"" help:"Write the RoIs of a data set's pictures that a detector trains on to files, as batch writes boxes."`
	Merge   mergeCmd   `cmd:"" help:"Finish a batch whose shares several machines have done."`
	Eval    evalCmd    `cmd:"" help:"Judge proposals by a data set's objects: recall, AR, MABO."`
	Serve   serveCmd   `cmd:"" help:"Serve over HTTP, with a page to look at boxes, until SIGTERM."`
	Train   trainCmd   `cmd:"" help:"Learn a ranker of boxes from pictures with boxes."`
	Health  healthCmd  `cmd:"" help:"Ask a service on this machine whether it is well: exit code 0 or 1."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// isTerminal tells whether somebody may be looking.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// usageError is a command line that is wrong in a way that kong does not see.
type usageError struct{ error }

// errImagesFailed says that pictures failed; each of them has been told of.
var errImagesFailed = errors.New("a picture failed")

// exit is how kong's help flag ends the program.
type exit int

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// run is the program, but for its process.
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

// exitCode says what is wrong, a line each, and gives the exit code for it.
func exitCode(std streams, err error) int {
	switch usage, ok := errors.AsType[usageError](err); {
	case err == nil:
		return exitOK
	case ok:
		for line := range strings.SplitSeq(usage.Error(), "\n") {
			fmt.Fprintln(std.err, "proposer:", line)
		}
		return exitUsage
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(std.err, "proposer: interrupted")
		return exitInterrupted
	case errors.Is(err, syscall.EPIPE), errors.Is(err, errImagesFailed):
		return exitFailed // the reader has had enough; or all is said
	}
	fmt.Fprintln(std.err, "proposer:", err)
	return exitFailed
}
