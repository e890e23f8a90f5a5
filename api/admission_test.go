package api

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/testutil/scene"
)

// The images of a client's forms neither fill the queue nor delay another client by more than one.
func TestFairAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(c *Config) { c.Authenticator = tokens(t) }) // one worker, two waiting
		alices, bobs := string(small().PNG()), string(scene.Render(2, 64, 48, 3).PNG())
		var searched []string
		step := make(chan struct{})
		s.run = func(_ context.Context, data []byte, _ propose.Options) (*propose.Result, error) {
			name := "alice"
			if string(data) == bobs {
				name = "bob"
			}
			searched = append(searched, name)
			<-step
			return &propose.Result{DecodeTime: 1, SearchTime: 1}, nil
		}
		post := func(client, contentType string, body []byte) <-chan response {
			done := make(chan response, 1)
			go func() {
				done <- s.postWith(t, "/v1/proposals", contentType, body, "Authorization: Bearer "+client+"-0123456789abcdef")
			}()
			synctest.Wait()
			return done
		}
		contentType, body := form(t, slices.Repeat([][3]string{{"image", "a.png", alices}}, 4)...)
		forms := []<-chan response{post("alice", contentType, body.Bytes()), post("alice", contentType, body.Bytes()), post("alice", contentType, body.Bytes())}
		r := <-post("alice", "", []byte(alices))
		r.problem(t, http.StatusTooManyRequests, "full")
		bob := post("bob", "", []byte(bobs))
		for len(bob) == 0 && len(searched) < 4 {
			step <- struct{}{}
			synctest.Wait()
		}
		if got := strings.Join(searched, " "); !strings.HasPrefix(got, "alice bob") {
			t.Errorf("searched %s, want bob's image after the one that was being searched", got)
		}
		if r := <-bob; r.status != http.StatusOK {
			t.Errorf("bob: got status %d, want 200", r.status)
		}
		close(step)
		for _, done := range forms {
			if r := <-done; r.status != http.StatusOK || bytes.Count(r.body, []byte("\n")) != 4 || bytes.Contains(r.body, []byte("problem")) {
				t.Errorf("a form: got %d %s, want four lines without problems", r.status, r.body)
			}
		}
		if !s.admission.queue.Idle() {
			t.Error("the workers have not been released")
		}
	})
}
