// The page of a sign-in that failed, at an address of its own: the callback's
// holds code and state, which must not stay in the browser's address bar, its
// history, or the Referer of its next request.

package handler

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

const (
	failedPath = request.Base + "/failed"
	// failedFor is how long the page of a failed sign-in can be loaded again.
	failedFor = 10 * time.Minute
	// failedKept bounds how many failed sign-ins a browser keeps, in several tabs.
	failedKept = 3
	// withoutCookies marks the page of a browser that keeps no cookies.
	withoutCookies = "cookies_missing"
	// sealFailed is the purpose that the content of these pages is sealed for.
	sealFailed = "failed"
)

// failure is what the page of a failed sign-in needs to know.
type failure struct {
	Code   string        `json:"c"`
	Status int           `json:"s"`
	Title  string        `json:"t"`
	Text   string        `json:"x"`
	Hint   string        `json:"h,omitempty"`
	Way    problem.Way   `json:"w,omitempty"`
	Retry  time.Duration `json:"r,omitempty"`
	User   string        `json:"u,omitempty"`
	Doctor string        `json:"d,omitempty"`
}

// failSignIn ends a sign-in on the page of err. The page's content travels in a
// sealed cookie, so that every node can show it, and the page that was asked
// for in the address.
func (h *Handler) failSignIn(in *incoming, err error) error {
	refusal := h.refusalOf(in, err, true)
	location := failedPath + "?reference=" + refusal.Reference
	if target := h.localTarget(refusal.ReturnTo); target != "/" {
		location += "&next=" + url.QueryEscape(target)
	}
	if refusal.Code == problem.CookiesMissing.Code { // the browser would not keep another one
		problem.Redirect(in.w, http.StatusSeeOther, location+"&"+withoutCookies+"=1")
		return nil
	}
	ring, err := h.config.Gate.Sessions.Keyring(in.r.Context())
	if err != nil {
		return h.writeRefusal(in, request.Navigation, refusal)
	}
	content, err := json.Marshal(failure{
		refusal.Code, refusal.Status, refusal.Title, refusal.Text, refusal.Hint[:min(len(refusal.Hint), 1<<10)], refusal.Way, refusal.Retry, refusal.User, refusal.DoctorCode(),
	})
	if err != nil {
		panic(err) // numbers and strings only
	}
	var kept []string
	for _, c := range in.r.Cookies() {
		if strings.HasPrefix(c.Name, h.failedName("")) {
			kept = append(kept, c.Name)
		}
	}
	for ; len(kept) >= failedKept; kept = kept[1:] {
		http.SetCookie(in.w, h.cookies.Unset(kept[0]))
	}
	name := h.failedName(refusal.Reference)
	sealed := ring.SealText(sealFailed, content, name)
	in.makeRoom(len(name) + len(sealed))
	http.SetCookie(in.w, h.cookies.Set(name, sealed, failedFor))
	problem.Redirect(in.w, http.StatusSeeOther, location)
	return nil
}

func (h *Handler) failedName(reference string) string {
	return h.cookies.Prefix + "failed_" + reference
}

// signInFailure shows the page of a failed sign-in, as often as it is loaded.
func (h *Handler) signInFailure(in *incoming) error {
	query := in.r.URL.Query()
	unknown := *problem.SignInFailed
	if query.Has(withoutCookies) {
		unknown = *problem.CookiesMissing
	}
	refusal := h.failureOf(in, query.Get("reference"), &unknown)
	refusal.ReturnTo = h.localTarget(query.Get("next"))
	in.chain.Identify(refusal.Placeholder)
	return h.writeRefusal(in, in.class(), refusal)
}

// failureOf returns the problem with this reference, as the browser keeps it, and
// unknown if it does not.
func (h *Handler) failureOf(in *incoming, reference string, unknown *problem.Problem) *problem.Problem {
	if len(reference) != referenceLength || strings.Trim(reference, referenceAlphabet) != "" {
		return unknown
	}
	unknown.Reference = reference
	name := h.failedName(reference)
	sealed := request.CookieValue(in.r, name)
	if sealed == "" {
		return unknown
	}
	ring, err := h.config.Gate.Sessions.Keyring(in.r.Context())
	if err != nil {
		return unknown
	}
	content, ok := ring.OpenText(sealFailed, sealed, name)
	var f failure
	if !ok || json.Unmarshal(content, &f) != nil {
		return unknown
	}
	return &problem.Problem{
		Code: f.Code, Status: f.Status, Title: f.Title, Text: f.Text, Hint: f.Hint, Way: f.Way, Retry: f.Retry, User: f.User, Doctor: f.Doctor, Reference: reference,
	}
}

// makeRoom drops the oldest logins of the browser, and then the pages of failures, if
// with another cookie of that many bytes all cookies of the gate would outgrow a header line.
func (in *incoming) makeRoom(bytes int) {
	in.added += bytes
	h, kept := in.handler, in.r.Cookies()
	for _, old := range flow.SurplusLogins(h.cookies.Prefix, kept, in.added) {
		http.SetCookie(in.w, h.cookies.Unset(old))
	}
	others := flow.OtherCookies(h.cookies.Prefix, kept)
	for _, c := range kept {
		if in.added+others <= flow.CookiesLimit {
			break
		}
		if strings.HasPrefix(c.Name, h.failedName("")) || c.Name == h.hintName() {
			http.SetCookie(in.w, h.cookies.Unset(c.Name))
			others -= len(c.Name) + len(c.Value)
		}
	}
}
