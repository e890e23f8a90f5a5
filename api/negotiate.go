package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/propose"
)

// representation is a form that an answer can take.
type representation struct {
	media string
	// max is the most boxes where a request does not say.
	defaultMax int
	// rich: it can carry masks, evidence and the tree. many: and answer for many pictures.
	details, multiple bool
	encode            func(ctx context.Context, row *codec.Row, data []byte, opts propose.Options) ([]byte, error)
}

// defaultOverlayBoxes is the most boxes of a drawing where a request does not say: of many more nothing is seen.
const defaultOverlayBoxes = 50

// representations are in the order in which they are preferred where the client does not mind.
var representations = []*representation{
	{media: "application/json", defaultMax: DefaultMax, details: true, encode: encodeJSON},
	{media: "application/x-ndjson", defaultMax: DefaultMax, details: true, multiple: true, encode: encodeJSON},
	{media: "text/csv", defaultMax: DefaultMax, encode: func(_ context.Context, row *codec.Row, _ []byte, _ propose.Options) ([]byte, error) {
		var buf bytes.Buffer
		w, err := codec.NewWriter(&buf, "csv")
		if err == nil {
			err = errors.Join(w.Write(row), w.Close())
		}
		return buf.Bytes(), err
	}},
	{media: "application/x-npy", defaultMax: DefaultMax, encode: func(_ context.Context, row *codec.Row, _ []byte, _ propose.Options) ([]byte, error) {
		return codec.AppendNPY(nil, row)
	}},
	{media: "application/octet-stream", defaultMax: DefaultMax, encode: func(_ context.Context, row *codec.Row, _ []byte, _ propose.Options) ([]byte, error) {
		return codec.AppendBinary(nil, row)
	}},
	{media: "image/png", defaultMax: defaultOverlayBoxes, encode: overlay("png")},
	{media: "image/jpeg", defaultMax: defaultOverlayBoxes, encode: overlay("jpeg")},
}

var ndjson = representations[1]

func encodeJSON(_ context.Context, row *codec.Row, _ []byte, _ propose.Options) ([]byte, error) {
	object, err := codec.AppendJSON(nil, row)
	return append(object, '\n'), err
}

func overlay(format string) func(context.Context, *codec.Row, []byte, propose.Options) ([]byte, error) {
	return func(ctx context.Context, row *codec.Row, data []byte, opts propose.Options) ([]byte, error) {
		var buf bytes.Buffer
		err := propose.Overlay(ctx, &buf, data, opts, row.Boxes, format)
		return buf.Bytes(), err
	}
}

// negotiate is the representation that the client likes best (RFC 9110, §12.5.1): of a type
// the most specific range counts, and of equal types the first of ours.
func negotiate(r *http.Request) (*representation, *problem) {
	header := strings.Join(r.Header.Values("Accept"), ",")
	if strings.TrimSpace(header) == "" {
		return representations[0], nil
	}
	var best *representation
	most := 0.
	for _, rep := range representations {
		if q := quality(header, rep.media); q > most {
			best, most = rep, q
		}
	}
	if best == nil {
		return nil, acceptProblem(header)
	}
	return best, nil
}

// quality is how well, from 0 to 1, an Accept header likes a media type.
func quality(header, media string) float64 {
	kind, _, _ := strings.Cut(media, "/")
	ranges := []string{"*/*", kind + "/*", media}
	best, specific := 0., -1
	for item := range strings.SplitSeq(header, ",") {
		name, params, err := mime.ParseMediaType(item)
		level := slices.Index(ranges, name)
		if err != nil || level < specific || level < 0 {
			continue
		}
		q := 1.
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil || !(q >= 0 && q <= 1) {
				continue
			}
		}
		if level > specific || q > best {
			best, specific = q, level
		}
	}
	return best
}

func acceptProblem(header string) *problem {
	media := make([]string, len(representations))
	for i, rep := range representations {
		media[i] = rep.media
	}
	return newProblem(http.StatusNotAcceptable, "accept", fmt.Sprintf("no answer can be as Accept says: %q", header),
		fieldError{"Accept", header, "one of " + strings.Join(media, ", ")})
}

// multipleImagesProblem is for several pictures whose answer cannot be one.
func multipleImagesProblem(rep *representation) *problem {
	return newProblem(http.StatusNotAcceptable, "accept", "of several pictures there is no "+rep.media,
		fieldError{"Accept", rep.media, ndjson.media + ", or one picture a request"})
}
