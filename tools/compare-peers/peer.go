package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// A peer is a child process that reads commands, a line each,
//
//	load PATH
//	run WORK THREADS
//
// and answers each with a line of JSON:
//
//	{"width": 640, "height": 480}
//	{"seconds": 1.75, "found": 2171}
//	{"error": "what was wrong"}
//
// after one at the start that gives its versions. It ends with its standard input.
type peer struct {
	name     string
	versions map[string]string
	timeout  time.Duration
	cmd      *exec.Cmd
	in       io.WriteCloser
	out      *bufio.Scanner
	problems *bytes.Buffer // standard error; to be read when cmd has ended
	ended    error         // why it cannot be asked any more
}

// answer is any of a peer's lines.
type answer struct {
	Versions      map[string]string
	Width, Height int
	Seconds       float64
	Found         int // boxes or regions
	Error         string
}

func parseAnswer(line []byte) (a answer, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil {
		return a, fmt.Errorf("answer %.80q: %w", line, err)
	}
	return a, nil
}

// startPeer starts a peer, which lives as long as ctx at most.
func startPeer(ctx context.Context, name string, command []string, timeout time.Duration) (*peer, error) {
	if len(command) == 0 {
		return nil, fmt.Errorf("%s: no command: want that of its peer", name)
	}
	p := &peer{name: name, timeout: timeout, cmd: exec.CommandContext(ctx, command[0], command[1:]...), problems: new(bytes.Buffer)}
	p.cmd.Stderr = p.problems
	p.cmd.WaitDelay = time.Second
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in, p.out = in, bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w (make bench-peers installs and builds the peers)", name, err)
	}
	a, err := p.answer(ctx)
	if err == nil && a.Versions == nil {
		err = errors.New("its first line has no versions")
	}
	if err != nil {
		return nil, p.end(err)
	}
	p.versions = a.Versions
	return p, nil
}

func (p *peer) load(ctx context.Context, file string) (width, height int, err error) {
	if strings.ContainsAny(file, "\r\n") {
		return 0, 0, fmt.Errorf("%q: want a name without line breaks", file)
	}
	a, err := p.ask(ctx, "load "+file)
	return a.Width, a.Height, err
}

func (p *peer) run(ctx context.Context, work string, threads int) (float64, error) {
	a, err := p.ask(ctx, fmt.Sprintf("run %s %d", work, threads))
	if err == nil && (a.Seconds <= 0 || a.Found <= 0) {
		err = fmt.Errorf("%d boxes or regions in %v s: want some, and a time", a.Found, a.Seconds)
	}
	return a.Seconds, err
}

func (p *peer) ask(ctx context.Context, command string) (answer, error) {
	if p.ended != nil {
		return answer{}, p.ended
	}
	if _, err := io.WriteString(p.in, command+"\n"); err != nil {
		return answer{}, p.end(err)
	}
	return p.answer(ctx)
}

// answer is the next line. A peer that does not give one in time, or another than it should, is ended.
func (p *peer) answer(ctx context.Context) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout, fmt.Errorf("no answer in %v", p.timeout))
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() })()
	if !p.out.Scan() {
		if err := context.Cause(ctx); err != nil {
			return answer{}, p.end(err)
		}
		return answer{}, p.end(errors.New("it ended without an answer"))
	}
	a, err := parseAnswer(p.out.Bytes())
	if err != nil {
		return a, p.end(err)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// end ends the peer because of an error, which it returns together with the peer's last words.
func (p *peer) end(err error) error {
	if p.ended != nil {
		return p.ended
	}
	p.ended = fmt.Errorf("%s: %w", p.name, err)
	p.stop()
	if words := bytes.TrimSpace(p.problems.Bytes()); len(words) > 0 {
		p.ended = fmt.Errorf("%w; it said: %s", p.ended, words[max(0, len(words)-500):])
	}
	return p.ended
}

// stop ends the peer, at once or, if it is in the middle of something, by force.
func (p *peer) stop() {
	_ = p.in.Close()
	defer time.AfterFunc(time.Second, func() { _ = p.cmd.Process.Kill() }).Stop()
	_ = p.cmd.Wait()
}
