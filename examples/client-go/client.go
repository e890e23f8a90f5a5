package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Proposals are the boxes of a picture, best first. Of several, a line may have a problem instead.
type Proposals struct {
	Index         int
	Width, Height int
	Boxes         [][4]int
	Scores        []float32
	Problem       *Problem
	ETag          string // the answer's name
}

// Problem is an error as the service tells it (RFC 9457).
type Problem struct {
	Type, Title, Detail string
	Status              int
	Errors              []struct{ Name, Value, Want string }
}

func (p *Problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Title, p.Detail) }

// Client asks one service. Cache, if not empty, is a folder for answers.
type Client struct{ URL, Token, Options, Cache string }

// post sends a body until the service has time for it. An answer is 200 or 304.
func (c *Client) post(ctx context.Context, media, etag string, body []byte) (*http.Response, error) {
	for try := 1; ; try++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+"/v1/proposals?"+c.Options, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", media)
		if c.Token != "" {
			req.Header.Set("Authorization", "Bearer "+c.Token)
		}
		if etag != "" {
			req.Header.Set("If-None-Match", etag)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil || res.StatusCode == http.StatusOK || res.StatusCode == http.StatusNotModified {
			return res, err
		}
		p := &Problem{Status: res.StatusCode, Title: http.StatusText(res.StatusCode)}
		_ = json.NewDecoder(res.Body).Decode(p) // what is between may answer otherwise; the status is known
		res.Body.Close()
		if full := p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable; !full || try == 8 {
			return nil, p
		}
		seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if err != nil {
			seconds = try
		}
		select {
		case <-time.After(time.Duration(seconds) * time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// One asks for the boxes of a picture. Where there is a cache it sends the name of the
// answer that it has, and the service says only whether that still holds.
func (c *Client) One(ctx context.Context, file string) (Proposals, error) {
	picture, err := os.ReadFile(file)
	if err != nil {
		return Proposals{}, err
	}
	var known Proposals
	place := filepath.Join(c.Cache, filepath.Base(file)+".json")
	if kept, err := os.ReadFile(place); c.Cache != "" && err == nil {
		_ = json.Unmarshal(kept, &known) // what cannot be read is asked for anew
	}
	res, err := c.post(ctx, "application/octet-stream", known.ETag, picture)
	if err != nil {
		return Proposals{}, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNotModified {
		return known, nil
	}
	p := Proposals{ETag: res.Header.Get("ETag")}
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil || c.Cache == "" {
		return p, err
	}
	kept, err := json.Marshal(p)
	if err != nil {
		return p, err
	}
	return p, os.WriteFile(place, kept, 0o644)
}

// Together asks for several pictures in one request; the lines come as they are done.
func (c *Client) Together(ctx context.Context, files []string) ([]Proposals, error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body) // into memory: it has no errors
	for _, file := range files {
		picture, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		part, _ := form.CreateFormFile("image", filepath.Base(file))
		_, _ = part.Write(picture)
	}
	_ = form.Close()
	res, err := c.post(ctx, form.FormDataContentType(), "", body.Bytes())
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	all, lines := make([]Proposals, len(files)), json.NewDecoder(res.Body)
	for range files {
		var p Proposals // of a single picture there is no index, which is then 0
		if err := lines.Decode(&p); err != nil || p.Index < 0 || p.Index >= len(all) {
			return nil, fmt.Errorf("not an answer for each of %d pictures: %w", len(files), err)
		}
		all[p.Index] = p
	}
	return all, nil
}
