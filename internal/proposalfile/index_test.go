package proposalfile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/internal/codec"
)

// dataSet returns the images of rows as a data set.
func dataSet(rows []*codec.Row) []dataset.Image {
	var images []dataset.Image
	for _, r := range rows {
		images = append(images, dataset.Image{File: r.File, ID: r.ID})
	}
	return images
}

func TestIndexFind(t *testing.T) {
	nested := []dataset.Image{{File: "a/1.jpg", ID: "10"}, {File: "b/1.jpg", ID: "11"}, {File: "b/c.d.JPEG", ID: "12"}}
	voc := []dataset.Image{{File: "000005.jpg", ID: "000005"}, {File: "2008_000002.jpg", ID: "2008_000002"}, {File: "2009_000003.jpg", ID: "2009_000003"}, {File: "2008_000003.jpg", ID: "2008_000003"}}
	bytes := []dataset.Image{{File: "\xe4.jpg", ID: "\xe4"}, {File: "\xf6.jpg", ID: "\xf6"}, {File: "c\xff.jpg", ID: "c\xff"}, {File: "b.jpg", ID: "b"}}
	tails := []dataset.Image{{File: "1.jpg", ID: "1"}, {File: "b/1.jpg", ID: "2"}, {File: "a/b/1.jpg", ID: "01"}}
	for _, c := range []struct {
		images   []dataset.Image
		file, id string
		want     int // -1: unknown, -2: an error
	}{
		{nested, "a/1.jpg", "", 0},
		{nested, `b\1.jpg`, "", 1},
		{nested, "./b/1.jpg", "", 1},
		{nested, "/data/set/a/1.jpg", "", 0},
		{nested, "1.jpg", "", -2},
		{nested, "1.jpg", "11", 1}, // the id decides
		{nested, "1", "", -2},
		{nested, "a/1", "", 0},
		{nested, "c/1.jpg", "", -1},
		{nested, "a/1.png", "", -1},
		{nested, "c.d.JPEG", "", 2},
		{nested, "c.d", "", 2},
		{nested, "c", "", 2}, // up to the first dot
		{nested, "b/c", "", 2},
		{nested, "c.d.jpg", "", -1},
		{nested, "", "12", 2},
		{nested, "12", "", 2},
		{nested, "", "0012", 2},
		{nested, "", "13", -1},
		{nested, "", "b/1", 1},
		{nested, "a/1.jpg", "11", 0}, // the file counts first
		{nested, "z.jpg", "11", 1},
		{bytes, "\xe4.jpg", "", 0},
		{bytes, "\ufffd.jpg", "", -2}, // two names are equal in UTF-8
		{bytes, "c\ufffd.jpg", "", 2},
		{bytes, "", "c\ufffd", 2},
		{bytes, "b.jpg", "", 3},
		{voc, "JPEGImages/000005.jpg", "", 0},
		{voc, "000005", "", 0},
		{voc, "", "5", 0},
		{voc, "", "2008_000002", 1},
		{voc, "", "2008000002", 1},
		{voc, "", "2", 1},
		{voc, "", "3", -2},
		{voc, "", "2009000003", 2},
		{tails, "1.jpg", "", 0},
		{tails, "b/1.jpg", "", 1},
		{tails, "x/a/b/1.jpg", "", 2},
		{tails, "x/b/1.jpg", "", 1},
		{tails, "", "1", 0},
		{tails, "", "01", 2},
		{tails, "", "001", -2},
		{tails, "", "", -1},
	} {
		t.Run(fmt.Sprintf("%q %q", c.file, c.id), func(t *testing.T) {
			got, err := NewIndex(c.images).Find(&Image{File: c.file, ID: c.id})
			if err != nil {
				got = -2
				if !strings.Contains(err.Error(), "want") {
					t.Errorf("error %v does not say what is wanted", err)
				}
			}
			if got != c.want {
				t.Errorf("got %d, %v; want %d", got, err, c.want)
			}
		})
	}
}
