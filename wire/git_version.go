package wire

// Git is v as git itself counts: 0, 1 or 2. What v does not know is 2.
func (v GitVersion) Git() int {
	switch v {
	case GitVersion_GIT_VERSION_0:
		return 0
	case GitVersion_GIT_VERSION_1:
		return 1
	}
	return 2
}

// GitVersionOf is the other way round.
func GitVersionOf(version int) GitVersion {
	switch version {
	case 0:
		return GitVersion_GIT_VERSION_0
	case 1:
		return GitVersion_GIT_VERSION_1
	}
	return GitVersion_GIT_VERSION_2
}
