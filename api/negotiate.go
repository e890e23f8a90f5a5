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

// representation is a format of responses with proposals.
type representation struct {
	media      string
	defaultMax int  // maximum number of boxes if the request has no max option
	details    bool // can hold masks, evidence and a merge tree
	multiple   bool // can hold several images
	encode     func(ctx context.Context, row *codec.Row, data []byte, opts propose.Options) ([]byte, error)
}

// defaultOverlayBoxes is the default maximum of boxes drawn on an image: more hide each other.
const defaultOverlayBoxes = 50

// representations lists the formats, preferred ones first.
var representations = []*representation{
	{media: "application/json", defaultMax: DefaultMax, details: true, encode: encodeJSON},
	{media: "application/x-ndjson", defaultMax: DefaultMax, details: true, multiple: true, encode: encodeJSON},
	{media: "text/csv", defaultMax: DefaultMax, encode: encodeCSV},
	{media: "application/x-npy", defaultMax: DefaultMax, encode: encodeNPY},
	{media: "application/octet-stream", defaultMax: DefaultMax, encode: encodeBinary},
	{media: "image/png", defaultMax: defaultOverlayBoxes, encode: encodeOverlay("png")},
	{media: "image/jpeg", defaultMax: defaultOverlayBoxes, encode: encodeOverlay("jpeg")},
}

var ndjson = representations[1]

func encodeJSON(_ context.Context, row *codec.Row, _ []byte, _ propose.Options) ([]byte, error) {
	object, err := codec.AppendJSON(make([]byte, 0, codec.JSONSize(row)), row)
	return append(object, '\n'), err
}

func encodeCSV(_ context.Context, row *codec.Row, _ []byte, _ propose.Options) ([]byte, error) {
	var buf bytes.Buffer
	w, err := codec.NewWriter(&buf, "csv")
	if err == nil {
		err = errors.Join(w.Write(row), w.Close())
	}
	return buf.Bytes(), err
}

func encodeNPY(_ context.Context, row *codec.Row, _ []byte, _ propose.Options) ([]byte, error) {
	return codec.AppendNPY(nil, row)
}

func encodeBinary(_ context.Context, row *codec.Row, _ []byte, _ propose.Options) ([]byte, error) {
	return codec.AppendBinary(nil, row)
}

func encodeOverlay(format string) func(context.Context, *codec.Row, []byte, propose.Options) ([]byte, error) {
	return func(ctx context.Context, row *codec.Row, data []byte, opts propose.Options) ([]byte, error) {
		var buf bytes.Buffer
		err := propose.Overlay(ctx, &buf, data, opts, row.Boxes, format)
		return buf.Bytes(), err
	}
}

// mediaTypes returns the media types of representations of proposals.
func mediaTypes() []string {
	media := make([]string, len(representations))
	for i, rep := range representations {
		media[i] = rep.media
	}
	return media
}

// negotiate returns the index of the media type that the Accept header prefers (RFC 9110, section
// 12.5.1). The most specific media range determines the quality of a media type; ties go to the first.
func negotiate(r *http.Request, media []string) (int, *problem) {
	header := strings.Join(r.Header.Values("Accept"), ",")
	if strings.TrimSpace(header) == "" {
		return 0, nil
	}
	ranges := parseAccept(header)
	best := -1
	bestQuality := 0.
	for i := range media {
		if q := quality(ranges, media[i]); q > bestQuality {
			best = i
			bestQuality = q
		}
	}
	if best < 0 {
		return 0, newProblem(http.StatusNotAcceptable, "accept", fmt.Sprintf("no response matches the Accept header %q", header),
			fieldError{"Accept", header, "one of " + strings.Join(media, ", ")})
	}
	return best, nil
}

// maxMediaRanges is the maximum number of media ranges of an Accept header that count. Browsers send ten.
const maxMediaRanges = 100

// mediaRange is a media range of an Accept header, with its quality value from 0 to 1.
type mediaRange struct {
	name    string
	quality float64
}

// parseAccept returns the valid media ranges of an Accept header.
func parseAccept(header string) (ranges []mediaRange) {
	n := 0
	for item := range strings.SplitSeq(header, ",") {
		if n++; n > maxMediaRanges {
			break
		}
		name, params, err := mime.ParseMediaType(item)
		if err != nil {
			continue
		}
		q := 1.
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil || !(q >= 0 && q <= 1) {
				continue
			}
		}
		ranges = append(ranges, mediaRange{name, q})
	}
	return ranges
}

// quality returns the quality value, from 0 to 1, that media ranges give a media type.
func quality(ranges []mediaRange, media string) float64 {
	kind, _, _ := strings.Cut(media, "/")
	names := []string{"*/*", kind + "/*", media}
	best := 0.
	specificity := -1
	for _, r := range ranges {
		level := slices.Index(names, r.name)
		if level < 0 || level < specificity {
			continue
		}
		if level > specificity || r.quality > best {
			best = r.quality
			specificity = level
		}
	}
	return best
}

// multipleImagesProblem rejects several images in a representation that holds one.
func multipleImagesProblem(rep *representation) *problem {
	return newProblem(http.StatusNotAcceptable, "accept", "a "+rep.media+" response holds a single image",
		fieldError{"Accept", rep.media, ndjson.media + ", or one image per request"})
}
