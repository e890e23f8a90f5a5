package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/proposer/proposer/internal/boundedio"
	"github.com/proposer/proposer/internal/imageio"
)

const (
	// formOverhead is what a multipart form may add to its pictures.
	formOverhead = 64 << 10
	// preallocLimit is how many bytes of memory a Content-Length alone is given.
	preallocLimit = 1 << 20
	// maxFieldBytes bounds a field that is not a picture.
	maxFieldBytes = 1 << 20
)

// imageFile is a file, and the name a form gives it.
type imageFile struct {
	name string
	data []byte
}

// upload is what a request brings.
type upload struct {
	images []imageFile
	fields map[string][]byte // the other fields of a form
}

// readUpload takes all that a request brings: a picture as its body, or a form with pictures in
// the fields image and at most one of each of the fields named. All of a form is read before
// anything is worked on: a client may well read no answer before it has sent everything.
// The memory is the request's until release is called.
func (s *Server) readUpload(w http.ResponseWriter, r *http.Request, fields ...string) (up *upload, release func(), p *problem) {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // unreadable: the body speaks for itself
	form := media == "multipart/form-data"
	limit := s.cfg.MaxImageBytes
	if form {
		limit += formOverhead + int64(len(fields))*maxFieldBytes
	}
	b, hint, p := s.openBody(w, r, limit)
	if p != nil {
		return nil, nil, p
	}
	up = &upload{fields: map[string][]byte{}}
	var err error
	if form {
		p, err = up.readForm(r, hint, s.cfg, fields)
	} else {
		var data []byte
		data, err = boundedio.ReadAll(b, hint, s.cfg.MaxImageBytes)
		up.images = []imageFile{{data: data}}
	}
	if p = s.bodyProblem(r.Context(), b, p, err, media); p == nil && (len(up.images) == 0 || len(up.images[0].data) == 0) {
		p = newProblem(http.StatusBadRequest, "request", "there is no picture",
			fieldError{"image", "", "a picture as the body, or as the field image of a multipart form"})
	}
	if p != nil {
		b.release()
		return nil, nil, p
	}
	s.clearReadDeadline(w)
	return up, b.release, nil
}

// openBody bounds a body by its bytes and by the memory that there is. Memory for hint bytes may
// be taken before they have come.
func (s *Server) openBody(w http.ResponseWriter, r *http.Request, limit int64) (b *body, hint int64, p *problem) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		w.Header().Set("Accept-Encoding", "identity")
		return nil, 0, newProblem(http.StatusUnsupportedMediaType, "format", "the body is encoded: pictures hardly get smaller, and bombs do",
			fieldError{"Content-Encoding", encoding, "none"})
	}
	if r.ContentLength > limit {
		return nil, 0, problemFor(r.Context(), &imageio.LimitError{What: "bytes", Got: r.ContentLength, Max: s.cfg.MaxImageBytes})
	}
	b = &body{ReadCloser: http.MaxBytesReader(w, r.Body, limit), admission: s.admission}
	r.Body = b
	return b, min(max(r.ContentLength, 0), preallocLimit, s.cfg.MaxImageBytes), nil
}

// clearReadDeadline ends the time for the body: it would cancel the request while it is worked on.
func (s *Server) clearReadDeadline(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // a test's recorder has none
}

// readForm takes the fields of a form.
func (up *upload) readForm(r *http.Request, hint int64, cfg Config, fields []string) (*problem, error) {
	form, err := r.MultipartReader()
	if err != nil {
		return nil, err
	}
	for {
		part, err := form.NextPart()
		if err == io.EOF { // a wrapped one is a form that ends early
			break
		}
		if err != nil {
			return nil, err
		}
		name := part.FormName()
		_, twice := up.fields[name]
		switch {
		case name == "image" && len(up.images) < cfg.MaxImages:
			data, err := boundedio.ReadAll(part, hint, cfg.MaxImageBytes)
			if err != nil {
				return nil, err
			}
			if len(data) == 0 {
				return newProblem(http.StatusBadRequest, "request", "there is no picture in a field image of the form",
					fieldError{"image", part.FileName(), "a picture"}), nil
			}
			up.images = append(up.images, imageFile{part.FileName(), data})
		case name == "image":
			return newProblem(http.StatusRequestEntityTooLarge, "size", "the form has too many pictures",
				fieldError{"image", part.FileName(), fmt.Sprintf("at most %d pictures", cfg.MaxImages)}), nil
		case slices.Contains(fields, name) && !twice:
			data, err := boundedio.ReadAll(part, 0, maxFieldBytes)
			if err != nil {
				return nil, err
			}
			up.fields[name] = data
		default:
			return newProblem(http.StatusBadRequest, "request", "the form has a field that it may not have",
				fieldError{name, part.FileName(), "fields image, and at most one of each of " + strings.Join(fields, ", ")}), nil
		}
	}
	// To the very end, or the client's going away would not be seen while it waits.
	_, err = io.Copy(io.Discard, r.Body)
	return nil, err
}

// bodyProblem says why a body could not be read, if it could not: the body itself knows
// best, then the form, then the error that came of it.
func (s *Server) bodyProblem(ctx context.Context, b *body, p *problem, err error, media string) *problem {
	switch {
	case b.err != nil:
		return b.problem(ctx, s.cfg.MaxImageBytes)
	case p != nil:
		return p
	case err != nil:
		if _, ok := errors.AsType[*imageio.LimitError](err); ok {
			return problemFor(ctx, err)
		}
		return newProblem(http.StatusBadRequest, "request", "the form cannot be taken apart: "+err.Error(),
			fieldError{"body", media, "a multipart form as RFC 7578 has it"})
	}
	return nil
}

// problem says what kept the body from being read. A picture may have at most maxBytes.
func (b *body) problem(ctx context.Context, maxBytes int64) *problem {
	if errors.Is(b.err, errOverloaded) {
		return overloadProblem()
	}
	if e, ok := errors.AsType[*http.MaxBytesError](b.err); ok {
		return problemFor(ctx, &imageio.LimitError{What: "bytes", Got: e.Limit + 1, Max: maxBytes})
	}
	p := newProblem(http.StatusBadRequest, "request", "the body cannot be taken apart: "+b.err.Error())
	if e, ok := errors.AsType[net.Error](b.err); ok && e.Timeout() {
		p = newProblem(http.StatusRequestTimeout, "slow", "the body did not come in the time that the service allows")
	} else if ok {
		p = newProblem(statusClientClosedRequest, "gone", "the client went away")
	} else if errors.Is(b.err, io.ErrUnexpectedEOF) { // it may still listen
		p = newProblem(http.StatusBadRequest, "request", "the body ends before it should",
			fieldError{"body", "", "as many bytes as Content-Length says, or chunks with an end"})
	}
	p.cause = b.err
	return p
}

// parseFormOptions reads options from a JSON object: strings, numbers, booleans, and lists of
// them, which become texts as the query has them.
func parseFormOptions(data []byte) (map[string]string, *problem) {
	bad := func(reason string) *problem {
		return newProblem(http.StatusBadRequest, "request", "the options of the form cannot be read: "+reason,
			fieldError{"options", "", `a JSON object as in {"mode":"fast","max":100,"colors":["HSV","Lab"]}`})
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil {
		return nil, bad(err.Error())
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, bad("there is more behind the object")
	}
	values := make(map[string]string, len(object))
	for name, v := range object {
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		texts := make([]string, len(list))
		for i, v := range list {
			switch v := v.(type) {
			case string:
				texts[i] = v
			case json.Number:
				texts[i] = v.String()
			case bool:
				texts[i] = fmt.Sprint(v)
			default:
				return nil, bad(fmt.Sprintf("%q is neither a text, a number, true or false, nor a list of such", name))
			}
		}
		values[name] = strings.Join(texts, ",")
	}
	return values, nil
}
