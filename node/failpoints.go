package node

// The persist points: moments at which a crash leaves the disk in a state of
// its own. A test kills the process at each of them; see ARCHITECTURE.md.
const (
	failSaveBefore       = "save-before"       // a turn is decided, nothing of it is on disk
	failSaveAfter        = "save-after"        // it is on disk, nobody has been told
	failIndexed          = "indexed"           // the leader has indexed a pack into quarantine
	failStaged           = "staged"            // a payload's files are on disk, their record is not
	failStageRecorded    = "stage-recorded"    // its record is
	failReplicated       = "replicated"        // a majority holds the payload, nothing was proposed
	failProposed         = "proposed"          // an entry was proposed
	failPublishBefore    = "publish-before"    // applied, objects still outside the store
	failPublishInstalled = "publish-installed" // objects in the store, refs not yet moved
	failPublishRefs      = "publish-refs"      // refs moved, the published index not yet noted
	failSeat             = "seat"              // a seat's nonce is on disk, its genesis is not
	failFounded          = "founded"           // the group is on disk, the repository is not
	failGathered         = "gathered"          // a new pack holds all that stays, those it replaces are still there
	failSnapshotObjects  = "snapshot-objects"  // a snapshot's objects are here, its table is not
)
