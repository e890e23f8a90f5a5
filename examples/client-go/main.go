// Command client-go asks a proposer service for the boxes of pictures, and prints a line
// for each box: file, x0, y0, x1, y1, score. It needs nothing but the standard library;
// client.go is the part to copy.
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
	flag.StringVar(&c.URL, "url", "http://localhost:8080", "the service")
	flag.StringVar(&c.Options, "options", "max=10", "of the search, as a query")
	flag.StringVar(&c.Cache, "cache", "", "`folder` to keep answers in")
	together := flag.Bool("together", false, "send all pictures in one request")
	flag.Parse()

	ctx, files := context.Background(), flag.Args()
	results, code := make([]Proposals, len(files)), 0
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
		var crew sync.WaitGroup
		var mu sync.Mutex
		places := make(chan struct{}, 4) // at once
		for i, file := range files {
			crew.Go(func() {
				places <- struct{}{}
				defer func() { <-places }()
				p, err := c.One(ctx, file)
				mu.Lock()
				defer mu.Unlock()
				if results[i] = p; err != nil {
					fail(file, err)
				}
			})
		}
		crew.Wait()
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
