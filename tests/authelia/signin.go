// A client without a browser that walks a user through the portal.

package authelia

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
)

// Errors of [Server.SignIn] that a test may want to tell apart.
var (
	// ErrCredentials means that the portal refused the password.
	ErrCredentials = errors.New("the portal refused the credentials")
	// ErrNoCallback means that the portal kept the browser: the client never hears of the request's outcome.
	ErrNoCallback = errors.New("the portal did not go back to the client")
)

// SignIn signs a user in as a browser without JavaScript would: from authorizeURL, or a page that redirects there,
// through the login form and consent. It returns the URL of the authorization response without requesting it; if the
// response is a form, its fields are in the URL's query. The client must reach the stand-in at its issuer. SignIn ignores
// the client's redirect policy, and gives a client without a cookie jar one of its own. Where the portal offers to
// remember the consent, SignIn accepts.
func (s *Server) SignIn(client *http.Client, authorizeURL, user, password string) (callbackURL string, err error) {
	return s.walk(client, authorizeURL, user, password, "accept")
}

// Refuse is [Server.SignIn] by a user who denies consent.
func (s *Server) Refuse(client *http.Client, authorizeURL, user, password string) (callbackURL string, err error) {
	return s.walk(client, authorizeURL, user, password, "deny")
}

func (s *Server) walk(client *http.Client, authorizeURL, user, password, decision string) (string, error) {
	c := *client
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if c.Jar == nil {
		jar, err := cookiejar.New(nil)
		if err != nil {
			return "", fmt.Errorf("making a cookie jar: %w", err)
		}
		c.Jar = jar
	}
	at, form := authorizeURL, url.Values(nil)
	for range 20 {
		here, location, err := s.step(&c, at, form)
		if err != nil {
			return "", err
		}
		switch {
		case location != nil && here.Scheme+"://"+here.Host == s.Issuer() && location.callback:
			return location.String(), nil
		case location != nil:
			at, form = location.String(), nil
		case here.Path == "/" && form == nil:
			form = url.Values{"username": {user}, "password": {password}}
		case here.Path == "/consent/openid/decision" && form == nil:
			form = url.Values{"decision": {decision}, "password": {password}, "remember": {"true"}}
		default:
			return "", fmt.Errorf("%w: the browser stays at %s", ErrNoCallback, here)
		}
	}
	return "", fmt.Errorf("%w: too many steps, last %s", ErrNoCallback, at)
}

// next is the target of a redirect.
type next struct {
	*url.URL
	callback bool // it is an authorization response: the portal's own redirects are 302
}

// step sends one request. It returns the request's URL and the redirect's target, or nil for a page.
func (s *Server) step(c *http.Client, at string, form url.Values) (*url.URL, *next, error) {
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(context.Background(), method, at, body)
	if err != nil {
		return nil, nil, fmt.Errorf("making a request for %s: %w", at, err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := c.Do(r)
	if err != nil {
		return nil, nil, fmt.Errorf("walking the portal: %w", err)
	}
	text, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", at, err)
	}
	switch response.StatusCode {
	case http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect, http.StatusMovedPermanently:
		location, err := response.Location()
		if err != nil {
			return nil, nil, fmt.Errorf("following %s: %w", at, err)
		}
		return r.URL, &next{location, response.StatusCode == http.StatusSeeOther}, nil
	case http.StatusOK:
		if action, ok := postedTo(string(text)); ok {
			return r.URL, &next{action, true}, nil
		}
		return r.URL, nil, nil
	case http.StatusUnauthorized:
		if strings.Contains(string(text), authenticationFailed) {
			return nil, nil, ErrCredentials
		}
	}
	return nil, nil, fmt.Errorf("walking the portal: %s answered %s", at, response.Status)
}

// The parts of the page that sends a response in a form.
var (
	formAction = regexp.MustCompile(`<form method="post" action="(https?://[^"]*)">`)
	formField  = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// postedTo returns where a page sends a response in a form, with the fields as the query.
func postedTo(page string) (*url.URL, bool) {
	action := formAction.FindStringSubmatch(page)
	if action == nil {
		return nil, false
	}
	target, err := url.Parse(html.UnescapeString(action[1]))
	if err != nil {
		return nil, false
	}
	query := url.Values{}
	for _, field := range formField.FindAllStringSubmatch(page, -1) {
		query.Add(html.UnescapeString(field[1]), html.UnescapeString(field[2]))
	}
	target.RawQuery = query.Encode()
	return target, true
}
