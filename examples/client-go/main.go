// Command client-go requests the boxes of images from a proposer service, and prints one line
// per box: file, x0, y0, x1, y1, score. It uses only the standard library; client.go is the
// part to copy.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

func main() {
	c := Client{Token: os.Getenv("PROPOSER_TOKEN")}
	flag.StringVar(&c.URL, "url", "http://localhost:8080", "URL of the service")
	flag.StringVar(&c.Options, "options", "max=10", "search options, as a query string")
	flag.StringVar(&c.Cache, "cache", "", "`folder` of the response cache")
	together := flag.Bool("together", false, "send all images in one request")
	flag.Parse()

	ctx := context.Background()
	files := flag.Args()
	results := make([]Proposals, len(files))
	code := 0
	fail := func(what string, err error) {
		code = 1
		fmt.Fprintf(os.Stderr, "client: %s: %v\n", what, err)
	}

	if *together {
		all, err := c.Together(ctx, files)
		if err != nil {
			fail("together", err)
		}
		copy(results, all)
	} else {
		var wg sync.WaitGroup
		var mu sync.Mutex
		slots := make(chan struct{}, 4) // concurrent requests
		for i, file := range files {
			wg.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				p, err := c.One(ctx, file)
				mu.Lock()
				defer mu.Unlock()
				results[i] = p
				if err != nil {
					fail(file, err)
				}
			})
		}
		wg.Wait()
	}

	for i, p := range results {
		if p.Problem != nil {
			fail(files[i], p.Problem)
		}
		for j, b := range p.Boxes {
			fmt.Printf("%s %d %d %d %d %.4f\n", filepath.Base(files[i]), b[0], b[1], b[2], b[3], p.Scores[j])
		}
	}
	os.Exit(code)
}
