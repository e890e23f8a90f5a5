package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/proposer/proposer/internal/boundedio"
)

const (
	// formOverhead is the maximum size of a form or a JSON request in addition to its images.
	formOverhead = 64 << 10
	// maxFieldBytes is the maximum size of a form field that is not an image.
	maxFieldBytes = 1 << 20
	// maxOptionBytes is the maximum size of the options of a form.
	maxOptionBytes = 64 << 10
	// partBuffer is the size of the buffer of a multipart reader.
	partBuffer = 4 << 10
	// maxPartHeader is the maximum size of what precedes the content of a part of a form.
	maxPartHeader = 4 << 10
)

// imageFile is an image file and its name in the form, if any.
type imageFile struct {
	name string
	data []byte
}

// upload is the content of a request body.
type upload struct {
	images []imageFile
	fields map[string][]byte // the other fields of a form
}

// readUpload reads a request body: an image, or a form with images in the fields named "image"
// and at most one of each of the fields named by fields. It reads a form to its end, because a
// client may not read the response before it has sent everything. The memory is reserved until
// release is called, or the request ends.
func (s *Server) readUpload(w http.ResponseWriter, r *http.Request, fields ...string) (up *upload, release func(), p *problem) {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // if invalid, the body decides
	isForm := media == "multipart/form-data"
	limit := s.cfg.MaxImageBytes
	if isForm {
		limit += formOverhead + int64(len(fields))*maxFieldBytes
	}
	body, p := s.openBody(w, r, limit)
	if p != nil {
		return nil, nil, p
	}

	memory := recordOf(r).memory
	up = &upload{fields: map[string][]byte{}}
	var err error
	if isForm {
		p, err = up.readForm(r, body, memory, s.cfg, fields)
	} else {
		var data []byte
		data, err = boundedio.ReadReserved(body, max(body.announced, 0), s.cfg.MaxImageBytes, memory)
		up.images = []imageFile{{data: data}}
	}
	p = s.bodyProblem(r.Context(), body, p, err, media)
	if p == nil && (len(up.images) == 0 || len(up.images[0].data) == 0) {
		p = newProblem(http.StatusBadRequest, "request", "the request has no image",
			fieldError{"image", "", "an image as the body, or in the field image of a multipart form"})
	}
	if p != nil {
		memory.Release(up.bytes())
		return nil, nil, p
	}
	s.clearReadDeadline(w)
	return up, sync.OnceFunc(func() { memory.Release(up.bytes()) }), nil
}

// bytes returns the memory of the images and fields.
func (up *upload) bytes() (n int64) {
	for _, img := range up.images {
		n += int64(cap(img.data))
	}
	for _, data := range up.fields {
		n += int64(cap(data))
	}
	return n
}

// openBody limits the size of the request body.
func (s *Server) openBody(w http.ResponseWriter, r *http.Request, limit int64) (*requestBody, *problem) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		w.Header().Set("Accept-Encoding", "identity")
		return nil, newProblem(http.StatusUnsupportedMediaType, "format",
			"compressed request bodies are not supported: images are already compressed",
			fieldError{"Content-Encoding", encoding, "no Content-Encoding, or identity"})
	}
	if r.ContentLength > limit {
		err := &boundedio.LimitError{What: "bytes", Got: r.ContentLength, Max: s.cfg.MaxImageBytes}
		return nil, problemFor(r.Context(), err)
	}
	b := &requestBody{ReadCloser: http.MaxBytesReader(w, r.Body, limit), announced: r.ContentLength, allowed: limit + 1}
	r.Body = b
	return b, nil
}

// clearReadDeadline lifts the body timeout, which would otherwise cancel the request during the search.
func (s *Server) clearReadDeadline(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // not supported by recorders
}

// readForm reads a multipart form. The problem describes a valid form that is not accepted.
func (up *upload) readForm(r *http.Request, body *requestBody, memory *reservation, cfg Config, fields []string) (*problem, error) {
	if err := memory.Reserve(formMemory); err != nil {
		return nil, err
	}
	defer memory.Release(formMemory)
	form, err := r.MultipartReader()
	if err != nil {
		return nil, err
	}
	for {
		body.allow(maxPartHeader)
		part, err := form.NextPart()
		body.allow(math.MaxInt64)
		if err == io.EOF { // unlike a wrapped EOF, which is a truncated form
			break
		}
		if err != nil {
			return nil, err
		}
		if p, err := up.readPart(part, body, memory, cfg, fields); p != nil || err != nil {
			return p, err
		}
	}
	// The connection notices a disconnect only once the body has been read to its end.
	_, err = io.Copy(io.Discard, r.Body)
	return nil, err
}

// readPart reads one field of a form.
func (up *upload) readPart(part *multipart.Part, body *requestBody, memory *reservation, cfg Config, fields []string) (*problem, error) {
	name := part.FormName()
	_, repeated := up.fields[name]
	switch {
	case name == "image" && len(up.images) < cfg.MaxImages:
		announced := min(max(body.announced+partBuffer, 0), cfg.MaxImageBytes) // at most
		data, err := boundedio.ReadReserved(part, announced, cfg.MaxImageBytes, memory)
		if err != nil {
			return nil, err
		}
		up.images = append(up.images, imageFile{part.FileName(), data})
		if len(data) == 0 {
			return newProblem(http.StatusBadRequest, "request", "a field image of the form is empty",
				fieldError{"image", part.FileName(), "an image"}), nil
		}
	case name == "image":
		return newProblem(http.StatusRequestEntityTooLarge, "size", "the form has too many images",
			fieldError{"image", part.FileName(), fmt.Sprintf("at most %d images", cfg.MaxImages)}), nil
	case slices.Contains(fields, name) && !repeated:
		limit := int64(maxFieldBytes)
		if name == "options" {
			limit = maxOptionBytes
		}
		data, err := boundedio.ReadReserved(part, 0, limit, memory)
		if _, ok := errors.AsType[*boundedio.LimitError](err); ok {
			return newProblem(http.StatusRequestEntityTooLarge, "size", "the field "+name+" of the form is too large",
				fieldError{name, "", fmt.Sprintf("at most %d bytes", limit)}), nil
		}
		if err != nil {
			return nil, err
		}
		up.fields[name] = data
	default:
		return newProblem(http.StatusBadRequest, "request", "the form has an unexpected or repeated field",
			fieldError{name, part.FileName(), "only the fields image and, once each, " + strings.Join(fields, ", ")}), nil
	}
	return nil, nil
}

// severalImagesProblem rejects a form with several images where one is wanted.
func severalImagesProblem(up *upload) *problem {
	return newProblem(http.StatusBadRequest, "request", "the form has several images",
		fieldError{"image", up.images[1].name, "one image"})
}

// bodyProblem returns the problem of a body that could not be read, or nil. The body's own error
// is the most specific, then the form's problem p, then err.
func (s *Server) bodyProblem(ctx context.Context, b *requestBody, p *problem, err error, media string) *problem {
	switch {
	case errors.Is(err, errOverloaded):
		return overloadProblem()
	case errors.Is(b.err, errPartHeader):
		return newProblem(http.StatusBadRequest, "request", "the header of a part of the form is too long",
			fieldError{"body", media, fmt.Sprintf("at most %d bytes before the content of a part", maxPartHeader)})
	case b.err != nil:
		return b.problem(ctx, s.cfg.MaxImageBytes)
	case p != nil:
		return p
	case err != nil:
		if _, ok := errors.AsType[*boundedio.LimitError](err); ok {
			return problemFor(ctx, err)
		}
		return newProblem(http.StatusBadRequest, "request", "the form cannot be parsed: "+err.Error(),
			fieldError{"body", media, "a multipart form as defined in RFC 7578"})
	}
	return nil
}

// problem describes the error of reading the body. maxBytes is the maximum size of an image.
func (b *requestBody) problem(ctx context.Context, maxBytes int64) *problem {
	if e, ok := errors.AsType[*http.MaxBytesError](b.err); ok {
		return problemFor(ctx, &boundedio.LimitError{What: "bytes", Got: e.Limit + 1, Max: maxBytes})
	}

	var p *problem
	switch e, isNet := errors.AsType[net.Error](b.err); {
	case isNet && e.Timeout():
		p = newProblem(http.StatusRequestTimeout, "slow", "the body did not arrive within the time limit")
	case isNet:
		p = newProblem(statusClientClosedRequest, "gone", "the client disconnected")
	case errors.Is(b.err, io.ErrUnexpectedEOF): // the client may still read
		p = newProblem(http.StatusBadRequest, "request", "the body is truncated",
			fieldError{"body", "", "as many bytes as Content-Length states, or a final chunk"})
	default:
		p = newProblem(http.StatusBadRequest, "request", "the body cannot be read: "+b.err.Error())
	}
	p.cause = b.err
	return p
}
