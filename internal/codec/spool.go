package codec

import (
	"fmt"
	"io"
	"os"
)

// spool is data of unknown size that is written later. It is kept in the folder of temporary files
// ([os.TempDir]).
type spool struct {
	size int64
	file *os.File // nil before the first bytes
}

// add appends bytes.
func (s *spool) add(p []byte) error {
	if s.file == nil {
		f, err := os.CreateTemp("", "proposer-*.part")
		if err != nil {
			return spoolError(err)
		}
		// Where the system allows it, removing the file now leaves nothing behind if the process is killed.
		_ = os.Remove(f.Name())
		s.file = f
	}
	if _, err := s.file.Write(p); err != nil {
		return spoolError(err)
	}
	s.size += int64(len(p))
	return nil
}

// copyTo writes all bytes.
func (s *spool) copyTo(w io.Writer) error { return s.copyRange(w, 0, s.size) }

// copyRange writes size bytes from an offset on.
func (s *spool) copyRange(w io.Writer, offset, size int64) error {
	if s.file == nil {
		return nil
	}
	n, err := io.Copy(w, io.NewSectionReader(s.file, offset, size))
	if err == nil && n != size {
		err = spoolError(fmt.Errorf("read %d bytes of %d", n, size))
	}
	return err
}

// remove removes the temporary file.
func (s *spool) remove() {
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
	}
}

func spoolError(err error) error {
	return fmt.Errorf("codec: temporary file: %w: free some space, or set TMPDIR to another folder", err)
}
