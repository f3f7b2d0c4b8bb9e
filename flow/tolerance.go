// What providers get wrong in documents that are otherwise good.

package flow

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// errorLimit bounds the text of an error that quotes the provider, in bytes.
const errorLimit = 500

// boundedError is an error of a library with its text bounded: some quote whole
// documents.
type boundedError struct{ err error }

// bounded returns err with its text bounded to printable ASCII.
func bounded(err error) error {
	if err == nil {
		return nil
	}
	return boundedError{err}
}

func (e boundedError) Error() string {
	text := e.err.Error()
	if len(text) > errorLimit {
		return printable(text, errorLimit) + "..."
	}
	return printable(text, errorLimit)
}

func (e boundedError) Unwrap() error { return e.err }

// rewritingTransport rewrites the bodies of successful responses.
type rewritingTransport struct {
	base    http.RoundTripper
	rewrite func(body []byte, header http.Header) []byte
}

func (t rewritingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	base := t.base
	if base == nil {
		base = http.DefaultTransport
	}
	answer, err := base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil {
		answer.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), brokenReader{err}))
		return answer, nil //nolint:nilerr // the body ends in it
	}
	body = t.rewrite(bytes.TrimPrefix(body, []byte("\ufeff")), answer.Header)
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return answer, nil
}

// brokenReader fails as the body did.
type brokenReader struct{ err error }

func (r brokenReader) Read([]byte) (int, error) { return 0, r.err }

// documentClient is the client for metadata and userinfo: a statusClient that
// takes JSON with a byte order mark.
func (rp *RelyingParty) documentClient() *http.Client {
	client := statusClient(rp.config.Client)
	client.Transport = rewritingTransport{client.Transport, func(body []byte, _ http.Header) []byte { return body }}
	return client
}

// tokenClient is the client for the token endpoint: it takes JSON with a byte
// order mark or as text/plain, and an expires_in that is not a whole number.
func (rp *RelyingParty) tokenClient() *http.Client {
	client := *rp.config.Client
	client.Transport = rewritingTransport{client.Transport, func(body []byte, header http.Header) []byte {
		var members map[string]json.RawMessage
		if json.Unmarshal(body, &members) != nil || members == nil {
			return body
		}
		header.Set("Content-Type", "application/json")
		if raw, ok := members["expires_in"]; ok {
			seconds, err := strconv.ParseFloat(strings.Trim(string(raw), `" `), 64)
			if err != nil || math.IsNaN(seconds) || seconds < 1 {
				delete(members, "expires_in")
			} else {
				members["expires_in"] = json.RawMessage(strconv.FormatInt(int64(min(seconds, accessMax.Seconds())), 10))
			}
		}
		rewritten, err := json.Marshal(members)
		if err != nil {
			return body
		}
		return rewritten
	}}
	return &client
}

// usableKeys returns a JWKS without the keys that cannot be read: go-jose would
// refuse all of them for one.
func usableKeys(body []byte, _ http.Header) []byte {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(body, &set) != nil || set.Keys == nil {
		return body
	}
	usable := make([]json.RawMessage, 0, len(set.Keys))
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) == nil && key.Valid() {
			usable = append(usable, raw)
		}
	}
	set.Keys = usable
	rewritten, err := json.Marshal(set)
	if err != nil {
		return body
	}
	return rewritten
}
