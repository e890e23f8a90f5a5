package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/testutil/hostile"
)

// A decoder of the service does not write lines to the log that a client chose, but messages about
// crashes reach standard error.
func TestDecodersDoNotWriteToTheLog(t *testing.T) {
	const forged = `{"level":"ERROR","msg":"request","status":500}`
	service := program(t, "serve", "--addr=127.0.0.1:0", "--admin-addr=", "--log-format=json", "--log-level=debug")
	log := newLogBuffer()
	service.Stderr = log
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer log.end()
		_ = service.Wait() // it is killed
	}()
	addr := regexp.MustCompile(`"addr":"([^"]+)"`)
	log.waitFor(t, "an address", addr.MatchString)
	url := "http://" + addr.FindStringSubmatch(log.String())[1]
	post, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/proposals?mode=single", bytes.NewReader(hostile.PNG("\n"+forged+"\n", 100)))
	if err != nil {
		t.Fatal(err)
	}
	post.Header.Set("X-Request-Id", "the-request")
	res, err := http.DefaultClient.Do(post)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body) // only the status matters
	if res.Body.Close(); res.StatusCode != http.StatusOK {
		t.Errorf("got status %d, want 200", res.StatusCode)
	}
	log.waitFor(t, "the request", regexp.MustCompile(`"msg":"request".*"id":"the-request"`).MatchString)

	var texts []string
	for line := range strings.Lines(log.String()) {
		var attrs struct{ Level, Msg, ID, Text string }
		if err := json.Unmarshal([]byte(line), &attrs); err != nil || attrs.Level == "ERROR" {
			t.Errorf("got a line %q, %v", line, err)
		}
		if attrs.Msg == "decoder" && attrs.Level == "DEBUG" && attrs.ID == "the-request" && attrs.Text != "" {
			texts = append(texts, attrs.Text)
		}
	}
	if opencv := strings.HasPrefix(imageio.Decoder(), "opencv"); opencv != (len(texts) == 10) || opencv && texts[1] != forged {
		t.Errorf("got texts %q of decoders", texts)
	}

	if err := service.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	<-ended
	if !strings.Contains(log.String(), "SIGQUIT: quit") {
		t.Errorf("got %s, want the stacks of SIGQUIT", log)
	}
}
