package api

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/rois"
)

// maxGroundTruthBoxes is the maximum number of ground-truth boxes per image. Labeling takes time
// proportional to the number of proposals times the number of these boxes.
const maxGroundTruthBoxes = 5000

// handleRoIs serves POST /v1/rois.
func (s *Server) handleRoIs(w http.ResponseWriter, r *http.Request) {
	opts, sampling, p := s.parseRoIs(r.URL.RawQuery, nil)
	if p != nil {
		fail(w, r, p)
		return
	}
	up, release, p := s.readUpload(w, r, "truth", "options")
	if p != nil {
		fail(w, r, p)
		return
	}
	defer release()
	if len(up.images) > 1 {
		fail(w, r, severalImagesProblem(up))
		return
	}
	img := up.images[0]
	if form, ok := up.fields["options"]; ok {
		if opts, sampling, p = s.parseRoIs(r.URL.RawQuery, form); p != nil {
			fail(w, r, p)
			return
		}
	}
	truth, p := s.readGroundTruth(r.Context(), up, img, opts)
	if p != nil {
		fail(w, r, p)
		return
	}
	resp, p := s.enqueue(r.Context(), recordOf(r), img.data, s.searchJob(opts, limitBoxes(opts.Search.Max, func(ctx context.Context, result *propose.Result) ([]byte, error) {
		batch, err := rois.Sample(ctx, result.Boxes, truth, sampling)
		if err != nil {
			return nil, err
		}
		return append(batch.AppendJSON(nil, img.name, result.Width, result.Height), '\n'), nil
	})))
	if p != nil {
		fail(w, r, p)
		return
	}
	s.writeSearched(w, "application/json", resp)
}

// parseRoIs parses the options of the search and of the sampler. The problem lists every error.
func (s *Server) parseRoIs(rawQuery string, form []byte) (propose.Options, rois.Options, *problem) {
	values, prob := optionValues(rawQuery, form)
	if prob != nil {
		return propose.Options{}, rois.Options{}, prob
	}
	p := s.newSearchParser(values, slices.Concat(rois.OptionNames(), searchOptions), DefaultMax)
	sampling, _ := rois.ReadOptions(p) // errors are kept by the parser
	opts, _, prob := s.readSearchOptions(p)
	return opts, sampling, prob
}

// readGroundTruth reads the ground-truth boxes, which must lie in the image.
func (s *Server) readGroundTruth(ctx context.Context, up *upload, img imageFile, opts propose.Options) (rois.GroundTruth, *problem) {
	text, ok := up.fields["truth"]
	if !ok {
		return rois.GroundTruth{}, newProblem(http.StatusBadRequest, "request", "there are no ground-truth boxes",
			fieldError{"truth", "", `a form field as in {"boxes":[[10,20,200,180]]}`})
	}
	header, err := imageio.Inspect(img.data, s.cfg.limits())
	if err != nil {
		return rois.GroundTruth{}, s.searchProblem(ctx, err)
	}
	width, height := header.Width, header.Height
	if !opts.Decode.IgnoreOrientation {
		width, height = header.Upright()
	}
	truth, err := rois.ParseGroundTruth(text, width, height, maxGroundTruthBoxes)
	if e, ok := errors.AsType[*rois.GroundTruthError](err); ok {
		return rois.GroundTruth{}, newProblem(http.StatusBadRequest, "request", e.Error(), fieldError(*e))
	}
	return truth, nil // ParseTruth returns no other errors
}
