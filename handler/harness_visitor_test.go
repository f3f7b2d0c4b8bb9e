// The harness of a browser with cookies, for sign-ins that take several steps.

package handler

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// visitor is a browser that keeps the gate's cookies and follows no redirect.
type visitor struct {
	*siteWithProvider
	cookies  map[string]string
	forForms map[string]bool // the cookies that a browser sends with forms of other sites
}

func (s *siteWithProvider) visitor() *visitor {
	return &visitor{s, map[string]string{}, map[string]bool{}}
}

// get navigates to a path of the site.
func (v *visitor) get(path string) *httptest.ResponseRecorder {
	v.Helper()
	headers := fields(navigation)
	for _, name := range slices.Sorted(maps.Keys(v.cookies)) {
		headers = append(headers, "Cookie", name+"="+v.cookies[name])
	}
	return v.keep(v.do(v, path, headers...))
}

// keep keeps the cookies of a response.
func (v *visitor) keep(w *httptest.ResponseRecorder) *httptest.ResponseRecorder {
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(v.cookies, c.Name)
			continue
		}
		v.cookies[c.Name] = c.Value
		v.forForms[c.Name] = c.SameSite == http.SameSiteNoneMode && c.Secure
	}
	return w
}

// post submits a form of the portal's page to the callback.
func (v *visitor) post(body string) *httptest.ResponseRecorder {
	v.Helper()
	r := httptest.NewRequest(http.MethodPost, "https://romm.example.com"+request.Base, strings.NewReader(body))
	r.RequestURI = request.Base
	r.TLS.HandshakeComplete = true
	for name, value := range map[string]string{
		"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://auth.example.com", "Accept": "text/html",
		"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document",
	} {
		r.Header.Set(name, value)
	}
	for _, name := range slices.Sorted(maps.Keys(v.cookies)) {
		if v.forForms[name] {
			r.Header.Add("Cookie", name+"="+v.cookies[name])
		}
	}
	v.chain.request(request.Base)
	w := httptest.NewRecorder()
	if err := v.handler.ServeHTTP(w, r, v.chain); err != nil {
		v.Fatal(err)
	}
	return v.keep(w)
}

// at signs alice in at the portal to which w redirects, changes the response, and
// returns what the gate answers to it.
func (v *visitor) at(w *httptest.ResponseRecorder, change func(url.Values)) *httptest.ResponseRecorder {
	v.Helper()
	v.atPortal(w)
	callback, err := v.op.SignIn(v.portal, w.Header().Get("Location"), "alice", "alice-password")
	if err != nil {
		v.Fatal(err)
	}
	u, err := url.Parse(callback)
	if err != nil {
		v.Fatal(err)
	}
	query := u.Query()
	if change != nil {
		change(query)
	}
	if v.handler.config.FormPost {
		return v.post(query.Encode())
	}
	u.RawQuery = query.Encode()
	return v.get(u.RequestURI())
}

// atPortal fails the test unless w redirects to the provider.
func (v *visitor) atPortal(w *httptest.ResponseRecorder) {
	v.Helper()
	if location := w.Header().Get("Location"); !strings.HasPrefix(location, "https://auth.example.com/") {
		v.Fatalf("got %d with Location %q %s, want a redirect to the provider", w.Code, location, w.Body)
	}
}

// failed fails the test unless w redirects to the page of a failed sign-in, whose
// address holds nothing of the response, and returns that page and its address.
func (v *visitor) failed(w *httptest.ResponseRecorder, code string) (page *httptest.ResponseRecorder, address string) {
	v.Helper()
	address = w.Header().Get("Location")
	if w.Code != 303 || !strings.HasPrefix(address, failedPath+"?reference=") || strings.Contains(address, "code=") || strings.Contains(address, "state=") {
		v.Fatalf("got %d with Location %q %s, want 303 to the page of a failed sign-in", w.Code, address, w.Body)
	}
	page = v.get(address)
	if !strings.Contains(page.Body.String(), code+" · reference") {
		v.Fatalf("got %d %s, want the page %s", page.Code, page.Body, code)
	}
	return page, address
}

// fault is a response of the provider's endpoint.
func (s *siteWithProvider) fault(endpoint string, f authelia.Fault) {
	s.op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(endpoint, f) })
}
