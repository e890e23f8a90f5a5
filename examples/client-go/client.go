package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Proposals are the boxes of an image, best first. In an answer about several images, one that
// failed has a Problem instead.
type Proposals struct {
	Index         int
	Width, Height int
	Boxes         [][4]int
	Scores        []float32
	Problem       *Problem
	ETag          string
}

// Problem is an error of the service (RFC 9457).
type Problem struct {
	Type, Title, Detail string
	Status              int
	Errors              []struct{ Name, Value, Want string }
}

func (p *Problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Title, p.Detail) }

// Client is a client of one service. Cache, unless empty, is a folder for responses.
type Client struct{ URL, Token, Options, Cache string }

// post sends a body. While the service is at capacity it retries after the delay that the service
// wants and up to as long again, so that clients do not all return together. The status of the
// response is 200 or 304.
func (c *Client) post(ctx context.Context, mediaType, etag string, body []byte) (*http.Response, error) {
	const attempts = 8
	for attempt := 1; ; attempt++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+"/v1/proposals?"+c.Options, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", mediaType)
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
		_ = json.NewDecoder(res.Body).Decode(p) // a proxy's response may not be JSON
		res.Body.Close()
		busy := p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable
		if !busy || attempt == attempts {
			return nil, p
		}
		seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if err != nil {
			seconds = attempt
		}
		delay := time.Duration(float64(seconds) * (1 + rand.Float64()) * float64(time.Second))
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// One requests the boxes of one image. With a cache it sends the ETag of the cached response,
// which the service confirms if it is still valid.
func (c *Client) One(ctx context.Context, file string) (Proposals, error) {
	img, err := os.ReadFile(file)
	if err != nil {
		return Proposals{}, err
	}
	var cached Proposals
	cacheFile := filepath.Join(c.Cache, filepath.Base(file)+".json")
	if data, err := os.ReadFile(cacheFile); c.Cache != "" && err == nil {
		_ = json.Unmarshal(data, &cached) // an invalid entry is requested again
	}

	res, err := c.post(ctx, "application/octet-stream", cached.ETag, img)
	if err != nil {
		return Proposals{}, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNotModified {
		return cached, nil
	}
	p := Proposals{ETag: res.Header.Get("ETag")}
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil || c.Cache == "" {
		return p, err
	}
	data, err := json.Marshal(p)
	if err != nil {
		return p, err
	}
	return p, os.WriteFile(cacheFile, data, 0o644)
}

// Together requests the boxes of several images in one request. The service sends the lines in
// the order in which the images are finished.
func (c *Client) Together(ctx context.Context, files []string) ([]Proposals, error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body) // writes to memory, which does not fail
	for _, file := range files {
		img, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		part, _ := form.CreateFormFile("image", filepath.Base(file))
		_, _ = part.Write(img)
	}
	_ = form.Close()

	res, err := c.post(ctx, form.FormDataContentType(), "", body.Bytes())
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	all := make([]Proposals, len(files))
	lines := json.NewDecoder(res.Body)
	for range files {
		var p Proposals // the answer about a single image has no index
		if err := lines.Decode(&p); err != nil || p.Index < 0 || p.Index >= len(all) {
			return nil, fmt.Errorf("want an answer for each of %d images: %w", len(files), err)
		}
		all[p.Index] = p
	}
	return all, nil
}
