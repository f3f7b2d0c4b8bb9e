package romm

// isBrand reports whether path is a manifest or icon of RomM's. A browser asks
// for a manifest, and whatever installs the site for its icons, without
// cookies (Web Application Manifest, "processing the manifest"): refused, RomM
// could not be put on a home screen. They are the same in every RomM.
func isBrand(path string) bool {
	switch path {
	case "/site.webmanifest", "/manifest.webmanifest", "/favicon.ico", "/favicon-16x16.png", "/favicon-32x32.png",
		"/apple-touch-icon.png", "/safari-pinned-tab.svg", "/android-chrome-192x192.png", "/android-chrome-512x512.png":
		return true
	}
	return false
}
