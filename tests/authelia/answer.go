// The response that a handler returns, and the shapes that Authelia's responses
// have: plain text, JSON, redirects.

package authelia

import (
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
)

// answer is a response. It is decided under the lock and written after it.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client may have gone away
}

// with adds header fields, given as name and value in turn.
func (a answer) with(fields ...string) answer {
	for i := 0; i+1 < len(fields); i += 2 {
		a.header.Add(fields[i], fields[i+1])
	}
	return a
}

func newAnswer(status int, contentType string, body []byte) answer {
	a := answer{status: status, header: http.Header{}, body: body}
	if contentType != "" {
		a.header.Set("Content-Type", contentType)
	}
	return a
}

// plain returns a status as plain text, such as "400 Bad Request".
func plain(status int) answer {
	return newAnswer(status, "text/plain; charset=utf-8", fmt.Appendf(nil, "%d %s", status, http.StatusText(status)))
}

func jsonAnswer(status int, v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("authelia: encoding an answer: %v", err))
	}
	return newAnswer(status, "application/json; charset=utf-8", body).with("Cache-Control", "no-store")
}

func redirect(status int, location string) answer {
	return newAnswer(status, "", nil).with("Location", location, "Cache-Control", "no-store")
}

// methodNotAllowed returns the router's refusal.
func methodNotAllowed(allow string) answer {
	return plain(http.StatusMethodNotAllowed).with("Allow", allow)
}

func isForm(r *http.Request) bool {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && mediaType == "application/x-www-form-urlencoded"
}
