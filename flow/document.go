// JSON documents of the provider, of which only the members that the gate uses
// have to be of the right type.

package flow

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// claimLimit bounds a string, in bytes.
const claimLimit = 1 << 10

// claims are the undecoded claims by name.
type claims map[string]json.RawMessage

// has reports whether a claim is present and not null.
func (c claims) has(name string) bool { return len(c[name]) > 0 && string(c[name]) != "null" }

// text returns a string claim, or "" if it is missing, longer than claimLimit or
// of another type.
func (c claims) text(name string) string {
	var s string
	if json.Unmarshal(c[name], &s) != nil || len(s) > claimLimit {
		return ""
	}
	return s
}

// required returns a string, or an error that says what there is instead.
func (c claims) required(name string) (string, error) {
	text := c.text(name)
	switch {
	case len(c[name]) == 0:
		return "", errors.New("it is missing")
	case text == "":
		return "", fmt.Errorf("it is %s, not a string", kind(c[name]))
	}
	return text, nil
}

// flag reports whether a member is true. Some providers write it as a string.
func (c claims) flag(name string) bool {
	return string(c[name]) == "true" || c.text(name) == "true"
}

// time returns a NumericDate in Unix seconds, 0 if there is none.
func (c claims) time(name string) int64 {
	var t unixTime
	_ = json.Unmarshal(c[name], &t) // never fails on JSON
	return int64(t)
}

// strings returns the strings in a member that is a list, or one string.
func (c claims) strings(name string) []string {
	var entries []json.RawMessage
	if json.Unmarshal(c[name], &entries) != nil {
		entries = []json.RawMessage{c[name]}
	}
	var all []string
	for _, entry := range entries {
		var text *string
		if json.Unmarshal(entry, &text) == nil && text != nil {
			all = append(all, *text)
		}
	}
	return all
}

// kind names the type of a JSON value that is not a usable string, for errors.
func kind(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "missing"
	}
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		if len(raw) > claimLimit {
			return "a string that is too long"
		}
		return "an empty string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// errNotAnObject says that a document is not one.
var errNotAnObject = errors.New("it is not a JSON object")

// parseDocument returns the members of a JSON object.
func parseDocument(body []byte) (claims, error) {
	var c claims
	if json.Unmarshal(body, &c) != nil || c == nil {
		return nil, errNotAnObject
	}
	return c, nil
}

// readDocument sends a request and returns the members of the JSON object in its
// response, which must have status 200.
func (rp *RelyingParty) readDocument(request *http.Request) (claims, error) {
	body, _, err := rp.read(request)
	if err != nil {
		return nil, err
	}
	return parseDocument(body)
}

// read sends a request and returns the body of its response, which must have
// status 200, and its Content-Type.
func (rp *RelyingParty) read(request *http.Request) (body []byte, contentType string, err error) {
	answer, err := rp.documentClient().Do(request)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = answer.Body.Close() }()
	if body, err = io.ReadAll(answer.Body); err != nil {
		return nil, "", fmt.Errorf("reading the response: %w", err)
	}
	return body, answer.Header.Get("Content-Type"), nil
}
