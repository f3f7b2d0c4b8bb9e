// A browser without scripts, for the tests of this package.

package tests

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/caddytest"
)

// browser is a browser without scripts: it has a cookie jar and does not
// follow redirects.
type browser struct {
	*stack
	client *http.Client
}

// browser returns a new browser.
func (s *stack) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &browser{s, &http.Client{
		Transport: transport, Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// transport dials this machine for every host, like a browser with a hosts
// file.
var transport = caddytest.CreateTestingTransport()

// response is an answer with its whole body.
type response struct {
	*http.Response
	body string
}

// do sends a request; target is "[METHOD ]path-or-URL", fields are name, value, ...
func (b *browser) do(target string, fields ...string) response {
	b.t.Helper()
	return b.send(target, nil, fields...)
}

func (b *browser) send(target string, body io.Reader, fields ...string) response {
	b.t.Helper()
	return b.sendRequest(b.request(target, body, fields...))
}

// request returns the request that send sends.
func (b *browser) request(target string, body io.Reader, fields ...string) *http.Request {
	b.t.Helper()
	method, at, ok := strings.Cut(target, " ")
	if !ok {
		method, at = http.MethodGet, target
	}
	if strings.HasPrefix(at, "/") {
		at = b.origin + at
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, at, body)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == "Host" {
			r.Host = fields[i+1]
			continue
		}
		r.Header[fields[i]] = append(r.Header[fields[i]], fields[i+1])
	}
	return r
}

// sendRequest sends r and reads the answer.
func (b *browser) sendRequest(r *http.Request) response {
	b.t.Helper()
	answer, err := b.try(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer
}

// try is sendRequest for a request that may be cut off.
func (b *browser) try(r *http.Request) (response, error) {
	answer, err := b.client.Do(r)
	if err != nil {
		return response{}, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return response{answer, string(content)}, err
}

// refused reports whether target is refused, as after the end of the session, or
// its answer is cut off by the end.
func (b *browser) refused(target string, fields ...string) bool {
	b.t.Helper()
	answer, err := b.try(b.request(target, nil, append([]string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin"}, fields...)...))
	return err != nil || answer.StatusCode/100 == 4
}

// open navigates to target, like a browser's address bar. It follows the redirect
// to the page of a failed sign-in, and no other.
func (b *browser) open(target string) response {
	b.t.Helper()
	answer := b.do(target, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none", "Sec-Fetch-User", "?1", "Accept", "text/html")
	if location := answer.Header.Get("Location"); strings.HasPrefix(location, base+"/failed") {
		return b.open(location)
	}
	return answer
}

// fetch sends a request like a script of the site.
func (b *browser) fetch(target string, fields ...string) response {
	b.t.Helper()
	return b.do(target, append([]string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin"}, fields...)...)
}

// callback opens target, signs in at Authelia, and returns the URL that Authelia sends the browser back to.
func (b *browser) callback(target, user string) string {
	b.t.Helper()
	answer := b.open(target)
	if answer.StatusCode != http.StatusFound {
		b.t.Fatalf("opening %s answered %d, want 302 to Authelia: %s", target, answer.StatusCode, answer.body)
	}
	location, err := b.authelia.SignIn(b.client, answer.Header.Get("Location"), user, user+"-password")
	if err != nil {
		b.t.Fatal(err)
	}
	return location
}

// signIn opens target, signs in, and returns the answer to the callback.
func (b *browser) signIn(target, user string) response {
	b.t.Helper()
	return b.open(b.callback(target, user))
}

// as returns a new browser in which user is signed in.
func (s *stack) as(user string) *browser {
	s.t.Helper()
	b := s.browser()
	if answer := b.signIn("/", user); answer.StatusCode != http.StatusSeeOther {
		s.t.Fatalf("signing in as %s: the callback answered %d, want 303: %s", user, answer.StatusCode, answer.body)
	}
	return b
}

// csrf returns the header fields that RomM's own page sends with a write.
func (b *browser) csrf() []string {
	b.t.Helper()
	b.fetch("/api/heartbeat")
	u, err := url.Parse(public)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == "romm_csrftoken" {
			return []string{"X-Csrftoken", c.Value, "Origin", public}
		}
	}
	b.t.Fatal("the browser has no CSRF cookie of RomM")
	return nil
}
