package api

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/optparse"
	"github.com/proposer/proposer/internal/propose"
)

// segmentMedia lists the media types of label images, preferred ones first.
var segmentMedia = []string{"image/png", "application/x-npy", "application/json", "image/jpeg"}

// segmentOptions names the options of a segmentation. The number of threads is left to the operator.
var segmentOptions = slices.DeleteFunc(propose.SegmentOptionNames(), func(name string) bool { return name == "threads" })

// segmentsMode is the mode of segmentations in the metrics and the log.
const segmentsMode = "segments"

// segmentQuery is a parsed request for a label image.
type segmentQuery struct {
	propose.SegmentOptions
	media     string
	overlay   bool
	canonical string // equal for queries with equal responses
}

// handleSegments serves POST /v1/segments.
func (s *Server) handleSegments(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	i, p := negotiate(r, segmentMedia)
	if p != nil {
		fail(w, r, p)
		return
	}
	q, p := s.parseSegments(r.URL.RawQuery, nil, segmentMedia[i])
	if p != nil {
		fail(w, r, p)
		return
	}
	up, release, p := s.readUpload(w, r, "options")
	if p != nil {
		fail(w, r, p)
		return
	}
	defer release()
	if len(up.images) > 1 {
		fail(w, r, severalImagesProblem(up))
		return
	}
	if form, ok := up.fields["options"]; ok {
		if q, p = s.parseSegments(r.URL.RawQuery, form, q.media); p != nil {
			fail(w, r, p)
			return
		}
	}
	img := up.images[0]
	key := newCacheKey(img.data, s.cfg.Version, segmentsMode, img.name, q.media, q.canonical)
	s.respondCached(w, r, key, q.media, img.data, s.segmentJob(img, q), release)
}

// parseSegments parses the options of a request for a label image. The problem lists every error.
func (s *Server) parseSegments(rawQuery string, form []byte, media string) (segmentQuery, *problem) {
	values, prob := optionValues(rawQuery, form)
	if prob != nil {
		return segmentQuery{}, prob
	}
	p := newOptionParser(values, append(slices.Clone(segmentOptions), "overlay"))
	q := segmentQuery{media: media, overlay: media == "image/jpeg"}
	optparse.Value(p, "overlay", "1 or 0", strconv.ParseBool, &q.overlay)
	switch {
	case q.overlay && media != "image/png" && media != "image/jpeg":
		p.Fail("overlay", "1", "an image response (Accept: image/png or image/jpeg)")
	case !q.overlay && media == "image/jpeg":
		p.Fail("overlay", "0", "1 in a JPEG response, which would change the labels")
	}
	opts, err := propose.ReadSegmentOptions(p)
	if err != nil {
		return segmentQuery{}, optionProblem(err)
	}
	q.canonical = canonicalOptions(opts.Values()) + strconv.FormatBool(q.overlay)
	opts.Decode.Limits = s.cfg.limits()
	opts.Threads = s.cfg.Threads
	q.SegmentOptions = opts
	return q, nil
}

// segmentJob returns the job of a segmentation.
func (s *Server) segmentJob(img imageFile, q segmentQuery) job {
	return job{segmentsMode, q.WorkPixels, func(ctx context.Context, rec *requestRecord, data []byte, pixels int64) (encodedResult, error) {
		result, err := propose.Segment(ctx, data, q.SegmentOptions)
		if err != nil {
			return encodedResult{}, err
		}
		start := time.Now()
		body, err := q.encode(ctx, result, img)
		if err != nil {
			return encodedResult{}, err
		}
		s.metrics.observeImage(result.Format, segmentsMode, pixels, map[string]time.Duration{
			"decode": result.DecodeTime, "segment": result.SegmentTime, "encode": time.Since(start),
		})
		rec.attrs = append(rec.attrs, slog.Int("regions", result.Regions))
		rec.addTimes(result.DecodeTime, result.SegmentTime)
		return newEncodedResult(body, result.Warning), nil
	}}
}

// encode encodes a label image as the query asks.
func (q *segmentQuery) encode(ctx context.Context, result *propose.Segmentation, img imageFile) ([]byte, error) {
	if err := reserveResponse(ctx, q.responseBytes(result)); err != nil {
		return nil, err
	}
	switch {
	case q.overlay:
		var buf bytes.Buffer
		err := propose.SegmentOverlay(ctx, &buf, img.data, q.SegmentOptions, result, q.media[len("image/"):])
		return buf.Bytes(), err
	case q.media == "application/x-npy":
		return codec.AppendLabelsNPY(nil, result.Width, result.Height, result.Labels), nil
	case q.media == "application/json":
		segments := codec.Segments{File: img.name, Segmentation: result, Runs: true}
		return append(segments.AppendJSON(nil), '\n'), nil
	}
	return codec.EncodeLabelsPNG(result.Width, result.Height, result.Labels)
}

// responseBytes returns a bound of the memory of a response.
func (q *segmentQuery) responseBytes(result *propose.Segmentation) int64 {
	pixels := int64(result.Width) * int64(result.Height)
	switch q.media {
	case "image/jpeg":
		return pixels
	case "image/png":
		if q.overlay {
			return 3 * pixels
		}
		return 2 * pixels
	case "application/x-npy":
		return 4*pixels + 1<<10
	}
	runs := int64(1)
	for i := 1; i < len(result.Labels); i++ {
		if result.Labels[i] != result.Labels[i-1] {
			runs++
		}
	}
	number := int64(len(strconv.FormatInt(pixels, 10))) + 1
	return 2*runs*number + 1<<10
}
