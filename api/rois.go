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

// maxGroundTruthBoxes is the most true boxes of a picture. Labelling takes time in proposals × them.
const maxGroundTruthBoxes = 5000

// handleRoIs answers POST /v1/rois.
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
		fail(w, r, newProblem(http.StatusBadRequest, "request", "the form has several pictures",
			fieldError{"image", up.images[1].name, "one picture"}))
		return
	}
	pic := up.images[0]
	if form, ok := up.fields["options"]; ok {
		if opts, sampling, p = s.parseRoIs(r.URL.RawQuery, form); p != nil {
			fail(w, r, p)
			return
		}
	}
	truth, p := s.readGroundTruth(r.Context(), up, pic, opts)
	if p != nil {
		fail(w, r, p)
		return
	}
	answer, p := s.enqueueAndSearch(r, pic.data, opts, func(ctx context.Context, result *propose.Result) ([]byte, error) {
		batch, err := rois.Sample(ctx, result.Boxes, truth, sampling)
		if err != nil {
			return nil, err
		}
		return append(batch.AppendJSON(nil, pic.name, result.Width, result.Height), '\n'), nil
	})
	if p != nil {
		fail(w, r, p)
		return
	}
	s.writeResponse(w, "application/json", answer)
}

// parseRoIs reads the options of the search and of the sampler.
func (s *Server) parseRoIs(rawQuery string, form []byte) (propose.Options, rois.Options, *problem) {
	texts, p := given(rawQuery, form)
	if p != nil {
		return propose.Options{}, rois.Options{}, p
	}
	own := rois.Names()
	values, errs := single(texts, slices.Concat(own, searchOptions))
	sampling, err := rois.ParseOptions(take(values, own))
	opts, p := s.options(values, append(errs, propose.OptionErrors(err)...), DefaultMax)
	return opts, sampling, p
}

// readGroundTruth reads the true boxes, which must lie in the picture.
func (s *Server) readGroundTruth(ctx context.Context, up *upload, pic imageFile, opts propose.Options) (rois.Truth, *problem) {
	text, ok := up.fields["truth"]
	if !ok {
		return rois.Truth{}, newProblem(http.StatusBadRequest, "request", "there are no true boxes",
			fieldError{"truth", "", `a field of the form, as in {"boxes":[[10,20,200,180]]}`})
	}
	header, err := imageio.Inspect(pic.data, s.cfg.limits())
	if err != nil {
		return rois.Truth{}, s.searchProblem(ctx, err)
	}
	width, height := header.Width, header.Height
	if !opts.Decode.IgnoreOrientation {
		width, height = header.Upright()
	}
	truth, err := rois.ParseTruth(text, width, height, maxGroundTruthBoxes)
	if e, ok := errors.AsType[*rois.TruthError](err); ok {
		return rois.Truth{}, newProblem(http.StatusBadRequest, "request", e.Error(), fieldError(*e))
	}
	return truth, nil // it has no other errors
}
