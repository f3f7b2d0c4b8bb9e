// What providers get wrong in documents that are otherwise good.

package flow

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
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
	answer, err := t.base.RoundTrip(r)
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

// tokenClient is the client for the token endpoint: it sends the client assertion
// if there is a key, and takes JSON with a byte order mark or as text/plain, and
// optional members of the wrong type.
func (rp *RelyingParty) tokenClient() *http.Client {
	client := *rp.config.Client
	base := client.Transport
	if rp.config.ClientAuth == ClientAuthKey {
		base = assertingTransport{base, rp}
	}
	client.Transport = rewritingTransport{base, usableTokens}
	return &client
}

// usableTokens returns a token or error response with the members that the gate
// uses. oauth2 would refuse a response for any other one, and overlook the code of
// an error.
func usableTokens(body []byte, header http.Header) []byte {
	members, err := parseDocument(body)
	if err != nil {
		return body
	}
	header.Set("Content-Type", "application/json")
	used := claims{}
	for _, name := range []string{"access_token", "token_type"} { // oauth2 names them if they are unusable
		if raw, ok := members[name]; ok && members.text("error") == "" {
			used[name] = raw
		}
	}
	for _, name := range []string{"refresh_token", "id_token", "scope", "error", "error_description"} {
		if raw := members[name]; len(raw) > 0 && raw[0] == '"' {
			used[name] = raw
		}
	}
	seconds, err := strconv.ParseFloat(strings.Trim(string(members["expires_in"]), `" `), 64)
	if (err == nil || errors.Is(err, strconv.ErrRange)) && seconds >= 1 {
		used["expires_in"] = json.RawMessage(strconv.FormatInt(int64(min(seconds, AccessTokenMax.Seconds())), 10))
	}
	rewritten, err := json.Marshal(used)
	if err != nil {
		return body
	}
	return rewritten
}

// keyMembers are the members of a JWK that matter to the gate: the public key, and
// what tells keys apart (https://datatracker.ietf.org/doc/html/rfc7517#section-4).
var keyMembers = []string{"kty", "crv", "x", "y", "n", "e", "kid", "alg", "use"}

// usableKeys returns a JWKS with those members of each key that the gate uses, and
// without the keys that cannot be read: go-jose would refuse all of them for one.
func usableKeys(body []byte, _ http.Header) []byte {
	set, err := parseDocument(body)
	var keys []json.RawMessage
	if err != nil || json.Unmarshal(set["keys"], &keys) != nil {
		return body
	}
	usable := make([]json.RawMessage, 0, len(keys))
	for _, raw := range keys {
		if key := usableKey(raw); key != nil {
			usable = append(usable, key)
		}
	}
	rewritten, err := json.Marshal(map[string]any{"keys": usable})
	if err != nil {
		return body
	}
	return rewritten
}

// usableKey returns the public key in a JWK, nil if there is none.
func usableKey(raw json.RawMessage) json.RawMessage {
	members, err := parseDocument(raw)
	if err != nil {
		return nil
	}
	public := map[string]string{}
	for _, name := range keyMembers {
		if text := members.text(name); text != "" {
			public[name] = text
		}
	}
	if kind(members["kid"]) == "a number" {
		public["kid"] = string(members["kid"])
	}
	rewritten, err := json.Marshal(public)
	var key jose.JSONWebKey
	if err != nil || key.UnmarshalJSON(rewritten) != nil || !key.Valid() {
		return nil
	}
	return rewritten
}
