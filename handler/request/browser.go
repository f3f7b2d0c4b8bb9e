// Which browser a request came from, for its user to recognize it by.

package request

import "strings"

// BrowserOf returns the names of the browser and of the system in a User-Agent
// header field, both empty if it does not tell. Only a user's own list of sessions
// uses them: clients can send anything.
func BrowserOf(agent string) (browser, system string) {
	return firstIn(agent, browsers), firstIn(agent, systems)
}

// What User-Agent fields contain, and what that means. Most of them contain the
// names of several browsers and systems, so the order matters.
var (
	browsers = [][2]string{
		{"Edg/", "Edge"},
		{"EdgA/", "Edge"},
		{"EdgiOS/", "Edge"},
		{"OPR/", "Opera"},
		{"Vivaldi/", "Vivaldi"},
		{"SamsungBrowser/", "Samsung Internet"},
		{"Firefox/", "Firefox"},
		{"FxiOS/", "Firefox"},
		{"CriOS/", "Chrome"},
		{"Chrome/", "Chrome"},
		{"Chromium/", "Chromium"},
		{"Safari/", "Safari"},
	}
	systems = [][2]string{
		{"Android", "Android"},
		{"iPhone", "iOS"},
		{"iPad", "iPadOS"},
		{"CrOS", "ChromeOS"},
		{"Windows", "Windows"},
		{"Mac OS X", "macOS"},
		{"Linux", "Linux"},
		{"PlayStation", "PlayStation"},
		{"Nintendo", "Nintendo"},
	}
)

func firstIn(agent string, known [][2]string) string {
	for _, k := range known {
		if strings.Contains(agent, k[0]) {
			return k[1]
		}
	}
	return ""
}
