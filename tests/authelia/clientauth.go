// Client authentication at the token, introspection and revocation endpoints.

package authelia

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

const (
	methodBasic = "client_secret_basic"
	methodPost  = "client_secret_post"
	methodNone  = "none"
	methodKey   = "private_key_jwt"
)

func (c *Client) tokenMethod() string { return c.AuthMethod }

// otherMethod returns the method for introspection and revocation. They have options of their own: a client_secret_post
// client must use Basic there. A private_key_jwt client has no secret, and must set all of them.
func (c *Client) otherMethod() string {
	if c.AuthMethod == methodNone || c.AuthMethod == methodKey {
		return c.AuthMethod
	}
	return methodBasic
}

// authenticate authenticates the client of a form request by exactly the method it is registered for (RFC 6749 2.3.1).
func (s *Server) authenticate(r *http.Request, registered func(*Client) string) (*Client, *oauthError) {
	method, id, secret := methodPost, r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	encoded, basic := strings.CutPrefix(r.Header.Get("Authorization"), "Basic ")
	asserted := r.PostForm.Has("client_assertion") || r.PostForm.Has("client_assertion_type")
	switch {
	case asserted && (basic || secret != ""):
		return nil, errInvalidRequest.with("Client Authentication failed with more than one known authentication method included in the request which is not permitted.")
	case asserted:
		return s.authenticateByKey(r, registered)
	case basic && r.PostForm.Has("client_secret"):
		return nil, errInvalidRequest.with("The request used more than one method of client authentication.")
	case basic:
		method = methodBasic
		var ok bool
		if id, secret, ok = decodeBasic(encoded); !ok {
			return nil, &errInvalidClient
		}
	case id == "":
		return nil, errInvalidRequest.with("The request has no client authentication.")
	case secret == "":
		method = methodNone
	}
	c := s.clients[id]
	if c == nil {
		return nil, &errInvalidClient
	}
	if method != registered(c) {
		return nil, errInvalidClient.with("The request was determined to be using 'token_endpoint_auth_method' method '" + method + "', however the OAuth 2.0 client registration does not allow this method.")
	}
	if method != methodNone && !matches(c.Secret, c.SecretDigest, secret) {
		return nil, &errInvalidClient
	}
	return c, nil
}

// decodeBasic undoes Base64 and the form encoding of both halves. A secret with a plus or percent sign that the client
// did not encode fails.
func decodeBasic(encoded string) (id, secret string, ok bool) {
	pair, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", "", false
	}
	id, secret, ok = strings.Cut(string(pair), ":")
	id, errID := url.QueryUnescape(id)
	secret, errSecret := url.QueryUnescape(secret)
	return id, secret, ok && errID == nil && errSecret == nil
}
