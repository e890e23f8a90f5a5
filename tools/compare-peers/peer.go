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

// A peerProcess is a child process that reads commands, one per line,
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
// The first line of its output gives the versions. It exits at the end of its standard input.
type peerProcess struct {
	name     string
	versions map[string]string
	timeout  time.Duration
	cmd      *exec.Cmd
	in       io.WriteCloser
	out      *bufio.Scanner
	stderr   *bytes.Buffer // read after cmd has exited
	ended    error         // why it takes no more commands
}

// A response is a line of a peer's output.
type response struct {
	Versions      map[string]string
	Width, Height int
	Seconds       float64
	Found         int // boxes or regions
	Error         string
}

func parseResponse(line []byte) (a response, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil {
		return a, fmt.Errorf("response %.80q: %w", line, err)
	}
	return a, nil
}

// startPeer starts a peer. The end of ctx kills it.
func startPeer(ctx context.Context, name string, command []string, timeout time.Duration) (*peerProcess, error) {
	if len(command) == 0 {
		return nil, fmt.Errorf("%s: no command: want one that starts it", name)
	}
	p := &peerProcess{
		name: name, timeout: timeout, stderr: new(bytes.Buffer),
		cmd: exec.CommandContext(ctx, command[0], command[1:]...),
	}
	p.cmd.Stderr = p.stderr
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
	a, err := p.receive(ctx)
	if err == nil && a.Versions == nil {
		err = errors.New("no versions in its first line")
	}
	if err != nil {
		return nil, p.end(err)
	}
	p.versions = a.Versions
	return p, nil
}

func (p *peerProcess) load(ctx context.Context, file string) (width, height int, err error) {
	if strings.ContainsAny(file, "\r\n") {
		return 0, 0, fmt.Errorf("%q: want a name without line breaks", file)
	}
	a, err := p.send(ctx, "load "+file)
	return a.Width, a.Height, err
}

func (p *peerProcess) run(ctx context.Context, work string, threads int) (float64, error) {
	a, err := p.send(ctx, fmt.Sprintf("run %s %d", work, threads))
	if err == nil && (a.Seconds <= 0 || a.Found <= 0) {
		err = fmt.Errorf("%d boxes or regions in %v s: want both above 0", a.Found, a.Seconds)
	}
	return a.Seconds, err
}

func (p *peerProcess) send(ctx context.Context, command string) (response, error) {
	if p.ended != nil {
		return response{}, p.ended
	}
	if _, err := io.WriteString(p.in, command+"\n"); err != nil {
		return response{}, p.end(err)
	}
	return p.receive(ctx)
}

// receive reads the next line. A peer whose line is late or malformed is stopped.
func (p *peerProcess) receive(ctx context.Context) (response, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout, fmt.Errorf("no response in %v", p.timeout))
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() })()
	if !p.out.Scan() {
		if err := context.Cause(ctx); err != nil {
			return response{}, p.end(err)
		}
		return response{}, p.end(errors.New("exited without a response"))
	}
	a, err := parseResponse(p.out.Bytes())
	if err != nil {
		return a, p.end(err)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// end stops the peer because of an error and returns it with the end of the peer's standard error.
func (p *peerProcess) end(err error) error {
	if p.ended != nil {
		return p.ended
	}
	p.ended = fmt.Errorf("%s: %w", p.name, err)
	p.stop()
	if text := bytes.TrimSpace(p.stderr.Bytes()); len(text) > 0 {
		p.ended = fmt.Errorf("%w; standard error: %s", p.ended, text[max(0, len(text)-500):])
	}
	return p.ended
}

// stop closes the peer's input and kills it if it does not exit within a second.
func (p *peerProcess) stop() {
	_ = p.in.Close()
	defer time.AfterFunc(time.Second, func() { _ = p.cmd.Process.Kill() }).Stop()
	_ = p.cmd.Wait()
}
