// Package rpc has what gRPC adds to HTTP/2: statuses, timeouts and the prefix of a message. It serves
// nothing itself, so that calls pass through the same handlers as other requests.
//
// See https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
package rpc

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// ContentType is the media type of requests and responses.
const ContentType = "application/grpc"

// IsContentType reports whether a request with this Content-Type is a call whose messages are encoded
// with Protocol Buffers.
func IsContentType(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	return media == ContentType || media == ContentType+"+proto"
}

// Code is a status code of gRPC.
type Code int

// The codes that a service uses.
const (
	OK                Code = 0
	Canceled          Code = 1
	InvalidArgument   Code = 3
	DeadlineExceeded  Code = 4
	NotFound          Code = 5
	ResourceExhausted Code = 8
	Unimplemented     Code = 12
	Internal          Code = 13
	Unavailable       Code = 14
	Unauthenticated   Code = 16
)

// PrefixLen is the length of what precedes a message: whether it is compressed, and its length.
const PrefixLen = 5

// ParsePrefix returns what a prefix says.
func ParsePrefix(prefix [PrefixLen]byte) (compressed bool, length int64) {
	return prefix[0] != 0, int64(binary.BigEndian.Uint32(prefix[1:]))
}

// PutPrefix sets the first PrefixLen bytes of a body to the prefix of the message that follows them.
func PutPrefix(body []byte) error {
	length := len(body) - PrefixLen
	if int64(length) > math.MaxUint32 {
		return fmt.Errorf("rpc: a message of %d bytes: want at most %d", length, uint32(math.MaxUint32))
	}
	body[0] = 0
	binary.BigEndian.PutUint32(body[1:], uint32(length))
	return nil
}

// ParseTimeout parses the header grpc-timeout: at most eight digits and a unit. Times that exceed a
// time.Duration are reduced to the longest.
func ParseTimeout(text string) (time.Duration, bool) {
	units := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second,
		'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}
	if len(text) < 2 || len(text) > 9 {
		return 0, false
	}
	last := len(text) - 1
	unit, ok := units[text[last]]
	n, err := strconv.ParseUint(text[:last], 10, 32)
	if !ok || err != nil {
		return 0, false
	}
	if n > uint64(math.MaxInt64/unit) {
		return math.MaxInt64, true
	}
	return time.Duration(n) * unit, true
}

// Status is the outcome of a call.
type Status struct {
	Code    Code
	Message string
	// Reason identifies the kind of the error in a google.rpc.ErrorInfo, unless it is empty.
	Reason, Domain string
	// Violations are sent in a google.rpc.BadRequest.
	Violations []Violation
	// RetryDelay is sent in a google.rpc.RetryInfo and in grpc-retry-pushback-ms, unless it is 0.
	RetryDelay time.Duration
}

// Violation is an invalid part of a request.
type Violation struct{ Field, Description string }

// Clients accept about 8 KiB of headers. Percent-encoding may triple the message.
const (
	maxMessage = 1 << 10
	maxDetails = 2 << 10
)

// SetHeader sets the headers of a status. The names have the given prefix, such as http.TrailerPrefix.
// Of a long message and long details it sets the beginning.
func (s *Status) SetHeader(h http.Header, prefix string) {
	h.Set(prefix+"Grpc-Status", strconv.Itoa(int(s.Code)))
	if s.Code == OK {
		return
	}
	message := truncate(s.Message, maxMessage)
	h.Set(prefix+"Grpc-Message", percentEncode(message))
	h.Set(prefix+"Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(s.appendProto(nil, message)))
	if s.RetryDelay > 0 {
		h.Set(prefix+"Grpc-Retry-Pushback-Ms", strconv.FormatInt(s.RetryDelay.Milliseconds(), 10))
	}
}

// appendProto appends the status as a google.rpc.Status.
func (s *Status) appendProto(dst []byte, message string) []byte {
	dst = protowire.AppendTag(dst, 1, protowire.VarintType)
	dst = protowire.AppendVarint(dst, uint64(s.Code))
	dst = appendField(dst, 2, []byte(message))
	if s.Reason != "" {
		info := appendField(nil, 1, []byte(s.Reason))
		dst = appendDetail(dst, "ErrorInfo", appendField(info, 2, []byte(s.Domain)))
	}
	if s.RetryDelay > 0 {
		duration := protowire.AppendTag(nil, 1, protowire.VarintType)
		duration = protowire.AppendVarint(duration, uint64(s.RetryDelay/time.Second))
		duration = protowire.AppendTag(duration, 2, protowire.VarintType)
		duration = protowire.AppendVarint(duration, uint64(s.RetryDelay%time.Second))
		dst = appendDetail(dst, "RetryInfo", appendField(nil, 1, duration))
	}
	var violations []byte
	for _, v := range s.Violations {
		violation := appendField(nil, 1, []byte(truncate(v.Field, maxMessage)))
		violation = appendField(violation, 2, []byte(truncate(v.Description, maxMessage)))
		if len(violations)+len(violation) > maxDetails {
			break
		}
		violations = appendField(violations, 1, violation)
	}
	if violations != nil {
		dst = appendDetail(dst, "BadRequest", violations)
	}
	return dst
}

// appendDetail appends a detail of a google.rpc.Status: a google.protobuf.Any with a message of
// package google.rpc.
func appendDetail(dst []byte, name string, message []byte) []byte {
	detail := appendField(nil, 1, []byte("type.googleapis.com/google.rpc."+name))
	return appendField(dst, 3, appendField(detail, 2, message))
}

func appendField(dst []byte, number protowire.Number, value []byte) []byte {
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	return protowire.AppendBytes(dst, value)
}

// truncate returns a text as valid UTF-8 of at most limit bytes.
func truncate(text string, limit int) string {
	text = strings.ToValidUTF8(text, "�")
	if len(text) <= limit {
		return text
	}
	const mark = "..."
	end := limit - len(mark)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}

// percentEncode encodes all bytes but printable ASCII, and the percent sign.
func percentEncode(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
