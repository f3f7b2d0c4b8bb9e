// Bodies that the gate itself reads: bounded in size and in time.

package request

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

const (
	// bodyTime is how long a client may take to send a body that the gate reads.
	bodyTime = 10 * time.Second
	// drainLimit and drainTime bound how much of an upload that the gate refuses
	// it reads, in bytes and in time.
	drainLimit = 4 << 20
	drainTime  = 3 * time.Second
)

// The reasons why a body cannot be read. They are errors of ReadBody.
var (
	ErrBodyTooLarge = errors.New("the body is too large")
	ErrBodyTooSlow  = errors.New("the body did not arrive in time")
)

// ReadBody reads the body of r into memory, so that no client can keep a request
// waiting by sending it slowly. It returns what it read, at most limit bytes and
// within 10 s, and r's body gives the same again. If the body cannot be read for
// another reason than its size or its slowness, r's body ends in that error.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTime)) // a recorder has none
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	_ = control.SetReadDeadline(time.Time{})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		r.Body = http.NoBody
		return nil, ErrBodyTooSlow
	case err != nil:
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
		return body, nil //nolint:nilerr // the body ends in it
	case int64(len(body)) > limit:
		return nil, ErrBodyTooLarge
	}
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	return body, nil
}

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// DrainBody reads the rest of r's body before it is refused, up to 4 MiB and 3 s:
// many clients read no response before they have sent the whole body, and report
// a broken connection if the server closes it before that. A client that asks
// first ("Expect: 100-continue") has not sent anything, and a CONNECT has no end.
func DrainBody(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody || field(r, "Expect") != "" || r.Method == http.MethodConnect {
		return
	}
	control := http.NewResponseController(w)
	if control.SetReadDeadline(time.Now().Add(drainTime)) != nil {
		return // it could take forever
	}
	_, _ = io.CopyN(io.Discard, r.Body, drainLimit)
	_ = control.SetReadDeadline(time.Time{})
}
