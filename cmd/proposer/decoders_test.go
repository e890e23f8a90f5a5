package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/testutil/hostile"
	"github.com/proposer/proposer/internal/testutil/scene"
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
	jpeg := scene.Render(1, 64, 48, 3).JPEG(90)
	jpeg = slices.Insert(jpeg, len(jpeg)-2, make([]byte, 9)...) // about which libjpeg prints a line
	for id, data := range map[string][]byte{"png": hostile.PNG("\n"+forged+"\n", 100), "jpeg": jpeg} {
		post, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/proposals?mode=single", bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		post.Header.Set("X-Request-Id", id)
		res, err := http.DefaultClient.Do(post)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body) // only the status matters
		if res.Body.Close(); res.StatusCode != http.StatusOK {
			t.Errorf("%s: got status %d, want 200", id, res.StatusCode)
		}
		log.waitFor(t, "the request", regexp.MustCompile(`"msg":"request".*"id":"`+id+`"`).MatchString)
	}

	var texts []string
	for line := range strings.Lines(log.String()) {
		var attrs struct{ Level, Msg, ID, Text string }
		if err := json.Unmarshal([]byte(line), &attrs); err != nil || attrs.Level == "ERROR" {
			t.Errorf("got a line %q, %v", line, err)
		}
		if attrs.Msg == "decoder" && attrs.Level == "DEBUG" && attrs.ID == "jpeg" && attrs.Text != "" {
			texts = append(texts, attrs.Text)
		}
	}
	if opencv := strings.HasPrefix(imageio.Decoder(), "opencv"); opencv != (len(texts) == 1) || opencv && !strings.HasPrefix(texts[0], "Corrupt JPEG data") {
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
