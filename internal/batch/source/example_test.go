package source_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/proposer/proposer/internal/batch/source"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for name, text := range map[string]string{"dog.jpg": "a dog", "2024/cat.PNG": "a cat", "thumbs/dog.jpg": "small", "notes.txt": "none"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			log.Fatal(err)
		}
	}

	ctx := context.Background()
	images, err := source.Open(ctx, dir, source.Options{Exclude: []string{"thumbs/**"}})
	if err != nil {
		log.Fatal(err)
	}
	defer images.Close()
	for p, err := range images.Images(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		data, err := images.Read(ctx, p, 1<<20)
		fmt.Println(p.File, string(data), err)
	}
	// Output:
	// 2024/cat.PNG a cat <nil>
	// dog.jpg a dog <nil>
}
