// What kind of client sent a request, by Fetch Metadata, or by what browsers
// send where they do not send that.

package request

import (
	"net/http"
	"strings"
)

// Class is the kind of client that waits for a response. It decides what a
// refusal looks like, so that the client does the right thing with it. It never
// decides whether a request passes: every header field behind it can be forged.
type Class int

// The classes, each with what a refusal looks like.
const (
	Script     Class = iota // a script or an API client: a status and JSON
	Navigation              // a user who looks at the tab: a redirect or a page
	Form                    // a navigation that is not a GET: a page, never a redirect
	Embedded                // an image, font, stylesheet or frame: a status only
	Socket                  // a WebSocket, or the polling in place of one: a status only
	Prefetch                // a browser's guess: a status that makes it try again on a click
)

// Classify returns the class of r. socket says that the path belongs to the
// application's WebSockets, page that the response to a GET is a page or leads
// to one. Browsers send the class in the Sec-Fetch-* fields ([Fetch Metadata]),
// but not to plain http origins, and not before Safari 16.4. Without them, two
// fields tell a navigation: it accepts text/html, and it asks to upgrade insecure
// requests. Fetches, images and prefetches may do the first, but never do the
// second. For a page, the first is enough: WebKit asks to upgrade on http only, and
// sends no Fetch Metadata with the download of a link on https.
//
// [Fetch Metadata]: https://www.w3.org/TR/fetch-metadata/
func Classify(r *http.Request, socket, page bool) Class {
	if IsSocket(r) || socket {
		return Socket
	}
	if isSpeculative(r) {
		return Prefetch
	}
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	mode, dest := field(r, "Sec-Fetch-Mode"), field(r, "Sec-Fetch-Dest")
	switch {
	case mode == "navigate" && dest == "document":
		if get {
			return Navigation
		}
		return Form
	case mode == "navigate": // a frame, an embed, an object
		return Embedded
	case mode != "":
		if dest == "" || dest == "empty" {
			return Script
		}
		return Embedded
	case !acceptsHTML(r):
		return Script
	case get && (page || field(r, "Upgrade-Insecure-Requests") == "1"):
		return Navigation
	case r.Method == http.MethodPost && (page || field(r, "Upgrade-Insecure-Requests") == "1" || AcceptsDocument(r)):
		return Form
	default:
		return Script
	}
}

// field returns the first value of a header field, whose name is spelled in the
// canonical way: http.Header.Get would look at each letter of it.
func field(r *http.Request, name string) string {
	if lines := r.Header[name]; len(lines) > 0 {
		return lines[0]
	}
	return ""
}

func acceptsHTML(r *http.Request) bool { return accepts(r, "text/html") }

// AcceptsDocument reports whether r accepts what navigations accept. In contrast
// to text/html, no script's request does that.
func AcceptsDocument(r *http.Request) bool { return accepts(r, "application/xhtml+xml") }

func accepts(r *http.Request, mediaType string) bool {
	for _, line := range r.Header["Accept"] {
		if strings.Contains(strings.ToLower(line), mediaType) {
			return true
		}
	}
	return false
}

// isSpeculative reports whether the browser loads a page before the user asks
// for it: a prefetch, a prerender or a preview.
func isSpeculative(r *http.Request) bool {
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if line := r.Header[name]; len(line) > 0 {
			value := strings.ToLower(line[0])
			if strings.Contains(value, "prefetch") || strings.Contains(value, "prerender") || strings.Contains(value, "preview") {
				return true
			}
		}
	}
	return false
}

// IsTyped reports whether the user typed the address of r, or opened a bookmark.
// Chromium's speculation rules send Sec-Fetch-Site: none from another site's
// page too, but only a user's own action sends Sec-Fetch-User. WebKit never
// sends that, so there no address counts as typed.
func IsTyped(r *http.Request) bool {
	return field(r, "Sec-Fetch-Site") == "none" && field(r, "Sec-Fetch-User") == "?1"
}

// WantsJSON reports whether a program, and not a user, reads the response.
func (k Class) WantsJSON() bool { return k != Navigation && k != Form }
