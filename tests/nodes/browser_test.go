// Browsers that visit the nodes.

package nodes

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// browser is a browser with cookies of its own, at the site and at the portal.
type browser struct {
	cluster *cluster
	jar     http.CookieJar
	portal  *http.Client
	user    string // who signed in last
}

func (c *cluster) browser() *browser {
	jar, _ := cookiejar.New(nil) // never fails without options
	portal, _ := cookiejar.New(nil)
	return &browser{cluster: c, jar: jar, portal: &http.Client{Transport: c.authelia.Transport(), Jar: portal}}
}

// reply is what a browser gets, with its body read and closed.
type reply struct {
	StatusCode int
	Header     http.Header
}

// send sends a request to node i; fields are name, value, ...
func (b *browser) send(i int, method, target, body string, fields ...string) (*reply, string) {
	u, err := url.Parse(public + target)
	if err != nil {
		b.cluster.Fatal(err)
	}
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, public+target, content)
	r.TLS.HandshakeComplete = true
	for j := 0; j < len(fields); j += 2 {
		r.Header.Set(fields[j], fields[j+1])
	}
	for _, cookie := range b.jar.Cookies(u) {
		r.AddCookie(cookie)
	}
	answer := b.cluster.at(i).serve(r)
	b.jar.SetCookies(u, answer.Cookies())
	text, _ := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	return &reply{answer.StatusCode, answer.Header}, string(text)
}

var navigation = []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none", "Sec-Fetch-User", "?1", "Accept", "text/html"}

// signIn signs user in at node i and returns the status of the callback.
func (b *browser) signIn(i int, user string) (int, string) {
	answer, text := b.send(i, http.MethodGet, request.Base+"/login", "", navigation...)
	if answer.StatusCode != http.StatusFound {
		return answer.StatusCode, text
	}
	location, err := b.cluster.authelia.SignIn(b.portal, answer.Header.Get("Location"), user, user+"-password")
	if err != nil {
		return 0, err.Error()
	}
	u, err := url.Parse(location)
	if err != nil {
		b.cluster.Fatal(err)
	}
	answer, text = b.send(i, http.MethodGet, u.RequestURI(), "", navigation...)
	b.user = user
	return answer.StatusCode, text
}

// account is what RomM says of an account.
type account struct {
	ID       int    `json:"id"`
	Username string `json:"username"`
	Role     string `json:"role"`
}

// whoIs returns whom RomM takes the browser for, false if for nobody.
func (b *browser) whoIs(i int) (account, bool) {
	answer, text := b.send(i, http.MethodGet, "/api/users/me", "", script...)
	var me account
	return me, answer.StatusCode == http.StatusOK && json.Unmarshal([]byte(text), &me) == nil
}

var script = []string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin"}

// write sends a request of RomM's own page that changes something.
func (b *browser) write(i int, method, target, body string) int {
	b.send(i, http.MethodGet, "/api/heartbeat", "", script...)
	u, _ := url.Parse(public)
	fields := append([]string{"Origin", public, "Content-Type", "application/x-www-form-urlencoded"}, script...)
	for _, cookie := range b.jar.Cookies(u) {
		if cookie.Name == "romm_csrftoken" {
			fields = append(fields, "X-Csrftoken", cookie.Value)
		}
	}
	answer, _ := b.send(i, method, target, body, fields...)
	return answer.StatusCode
}
