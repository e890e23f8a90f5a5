package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/proposer/proposer/api/openinference"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/selective"
)

// A problem is an error as RFC 9457 tells it. Its kind is the last part of its
// type and the reason label of proposer_requests_rejected_total:
//
//	400 option        an option is unknown, wrong, or not the client's to choose
//	400 request       the body or the query cannot be taken apart
//	401 token         no token, or one that is not known
//	404 path          there is no such resource
//	405 method        the resource has other methods: see Allow
//	406 accept        no answer is as Accept wants it
//	408 slow          the body did not come in time
//	413 size          too many bytes, pixels, or pixels a side
//	415 format        not a picture of a format that is read
//	422 picture       a picture that is broken
//	422 regions       a picture that the options cut into too many regions
//	429 full          no place, or no memory for the body: see Retry-After
//	429 rate          too many requests of this token or address: see Retry-After
//	499 gone          the client went away: for the log and the metrics
//	500 internal      a fault of the service
//	503 deadline      the search took longer than the service allows
//	503 draining      the service is about to stop
type problem struct {
	Type   string       `json:"type"`
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Detail string       `json:"detail"`
	Errors []fieldError `json:"errors,omitempty"`

	kind  string
	cause error // for the log
}

// A field is a part of the request that is wrong, and what would be right.
type fieldError struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Want  string `json:"want"`
}

// statusClientClosedRequest is what nginx and others log for a client that did not wait.
const statusClientClosedRequest = 499

// retryAfter is the number of seconds after which a full service is worth another try.
const retryAfter = 1

func newProblem(status int, kind, detail string, fields ...fieldError) *problem {
	title := http.StatusText(status)
	if status == statusClientClosedRequest {
		title = "Client Closed Request"
	}
	return &problem{
		Type: "urn:proposer:problem:" + kind, Title: title, Status: status,
		Detail: detail, Errors: fields, kind: kind,
	}
}

// optionProblem tells what pipeline.ParseOptions found, and the service before it.
func optionProblem(all []*propose.OptionError) *problem {
	details := make([]string, len(all))
	fields := make([]fieldError, len(all))
	for i, e := range all {
		details[i] = e.Error()
		fields[i] = fieldError(*e)
	}
	return newProblem(http.StatusBadRequest, "option", strings.Join(details, "; "), fields...)
}

// problemFor says what an error means to the client of ctx.
func problemFor(ctx context.Context, err error) *problem {
	p := classify(ctx, err)
	p.cause = err
	return p
}

func classify(ctx context.Context, err error) *problem {
	if limit, ok := errors.AsType[*imageio.LimitError](err); ok {
		return newProblem(http.StatusRequestEntityTooLarge, "size",
			fmt.Sprintf("the picture is too large: more than %d %s", limit.Max, limit.What),
			fieldError{limit.What, strconv.FormatInt(limit.Got, 10), fmt.Sprintf("at most %d", limit.Max)})
	}
	if broken, ok := errors.AsType[*imageio.FormatError](err); ok {
		return newProblem(http.StatusUnprocessableEntity, "picture", broken.Error(),
			fieldError{"image", broken.Format, "a " + broken.Format + " file that is whole and follows its format"})
	}
	if many, ok := errors.AsType[*selective.RegionsError](err); ok {
		return newProblem(http.StatusUnprocessableEntity, "regions", many.Error(),
			fieldError{"k", fmt.Sprint(many.Strategy.K), fmt.Sprintf("a scale, or a min-size or max-side, that makes at most %d first regions", many.Max)})
	}
	switch {
	case errors.Is(err, imageio.ErrUnsupported):
		return newProblem(http.StatusUnsupportedMediaType, "format", err.Error(),
			fieldError{"image", "unknown", "a JPEG, PNG, WebP, BMP or TIFF file"})
	case errors.Is(err, context.DeadlineExceeded):
		return newProblem(http.StatusServiceUnavailable, "deadline",
			"the picture was not done in the time that the service allows: try later, a smaller picture (max-side) or a faster mode")
	case ctx.Err() != nil:
		return newProblem(statusClientClosedRequest, "gone", "the client went away")
	}
	return newProblem(http.StatusInternalServerError, "internal", "the service failed: its log says why")
}

// ndjsonLine is the problem as a line among the answers for several pictures.
func (p *problem) ndjsonLine(index int, file string) []byte {
	body, err := json.Marshal(struct {
		Index   int      `json:"index"`
		File    string   `json:"file"`
		Error   string   `json:"error"`
		Problem *problem `json:"problem"`
	}{index, file, p.Detail, p})
	if err != nil {
		panic(err) // strings and numbers only
	}
	return append(body, '\n')
}

// overloadProblem is for a request that finds no place.
func overloadProblem() *problem {
	return newProblem(http.StatusTooManyRequests, "full", "the service has as much to do as it may: try again after Retry-After seconds")
}

// write sends the problem; of one that nobody is there to read, the status alone,
// or net/http would make it 200.
func (p *problem) write(w http.ResponseWriter, r *http.Request) {
	if p.Status == statusClientClosedRequest {
		w.WriteHeader(p.Status)
		return
	}
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers only
	}
	media := "application/problem+json"
	if r.URL.Path == "/v2" || strings.HasPrefix(r.URL.Path, "/v2/") {
		body, media = openinference.AppendError(nil, p.Detail), "application/json"
	}
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	if retry := p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests; retry && h.Get("Retry-After") == "" {
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // nobody to tell
}
