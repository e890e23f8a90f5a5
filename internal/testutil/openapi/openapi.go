// Package openapi validates the bodies of the service's responses with kin-openapi.
package openapi

import (
	"encoding/json"
	"io"
	"net/http"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
)

// RegisterDecoders registers decoders of the media types of responses, for the whole process.
func RegisterDecoders() {
	for _, media := range []string{"application/x-npy", "image/png", "image/jpeg"} {
		openapi3filter.RegisterBodyDecoder(media, openapi3filter.FileBodyDecoder)
	}
	openapi3filter.RegisterBodyDecoder("text/csv", openapi3filter.PlainBodyDecoder)
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", decodeLines)
}

// decodeLines validates the lines of an NDJSON body and returns the last one.
func decodeLines(body io.Reader, _ http.Header, schema *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
	var last any
	for d := json.NewDecoder(body); ; {
		var line any
		if err := d.Decode(&line); err == io.EOF {
			return last, nil
		} else if err != nil {
			return nil, err
		}
		if err := schema.Value.VisitJSON(line); err != nil {
			return nil, err
		}
		last = line
	}
}
