package dataset

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
)

// writeLikeCOCO writes an instances file of the form and the size of COCO's instances_train2017.json
// if images is 118,287 and outline, the coordinates of an outline, 50.
func writeLikeCOCO(w io.Writer, images, outline int) error {
	var b bytes.Buffer
	b.WriteString(`{"info": {"year": 2017}, "licenses": [], "images": [`)
	separator := ""
	flush := func() error {
		if b.Len() < 1<<20 {
			return nil
		}
		_, err := b.WriteTo(w)
		return err
	}
	for i := range images {
		fmt.Fprintf(&b, `%s{"license": 3,"file_name": "%012d.jpg","coco_url": "http://images.cocodataset.org/train2017/%012[2]d.jpg","height": 480,"width": 640,`+
			`"date_captured": "2013-11-14 11:18:45","flickr_url": "http://farm9.staticflickr.com/8186/8119368305_4e622c8349_z.jpg","id": %[2]d}`, separator, i*5)
		separator = ", "
		if err := flush(); err != nil {
			return err
		}
	}
	b.WriteString(`],"annotations": [`)
	separator = ""
	number := make([]byte, 0, 32)
	for i := range images * 860_001 / 118_287 {
		b.WriteString(separator + `{"segmentation": [[`)
		for k := range outline {
			number = strconv.AppendFloat(number[:0], float64((i*7919+k*104729)%64000)/100, 'f', -1, 64)
			if k > 0 {
				b.WriteByte(',')
			}
			b.Write(number)
		}
		x, y := float64(i%53)*9.87, float64(i%31)*11.13
		fmt.Fprintf(&b, `]],"area": %.2f,"iscrowd": %d,"image_id": %d,"bbox": [%.2f,%.2f,%.2f,%.2f],"category_id": %d,"id": %d}`,
			float64(i%9000)*1.37, i%100/99, i*118_287/860_001%images*5, x, y, float64(i%97)*1.31, float64(i%89)*1.27, 1+i%80, 900_000_000_000+int64(i))
		separator = ", "
		if err := flush(); err != nil {
			return err
		}
	}
	b.WriteString(`],"categories": [`)
	for i := range 80 {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, `{"supercategory": "thing","id": %d,"name": "class %[1]d"}`, i+1)
	}
	b.WriteString("]}")
	_, err := b.WriteTo(w)
	return err
}

// BenchmarkOpenCOCO opens a file of the size of instances_train2017.json. The metric MB-held is the
// memory that the process obtained meanwhile, beyond that before.
func BenchmarkOpenCOCO(b *testing.B) {
	path := filepath.Join(b.TempDir(), "instances_train2017.json")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	if err := writeLikeCOCO(f, 118_287, 50); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	for name, opts := range map[string]Options{"images": {ImagesOnly: true}, "objects": {}} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(info.Size())
			b.ReportAllocs()
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for b.Loop() {
				d, err := Open(path, opts)
				if err != nil || len(d.Images) != 118_287 {
					b.Fatalf("%d images, %v", len(d.Images), err)
				}
			}
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.Sys-before.Sys)/1e6, "MB-held")
		})
	}
}
