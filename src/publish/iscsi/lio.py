# Has the kernel's iSCSI target offer disks and withdraw others, by rtslib. What it offers for good is in its saved
# configuration, which netbe edits itself: rtslib would write down what runs now, and lose what could not be started.
import json
import sys

from rtslib_fb import RTSRoot
from rtslib_fb.utils import RTSLibError


def withdraw(root, wish):
    for target in list(root.targets):
        if target.wwn == wish["target"]:
            target.delete()
    for disk in list(root.storage_objects):
        if disk.name == wish["disk"]:
            disk.delete()


try:
    root = RTSRoot()
    wish = json.load(sys.stdin)
    for one in wish["withdraw"] + wish["offer"]:
        withdraw(root, one)
    for one in wish["offer"]:
        root.restore(one["configuration"], abort_on_error=True)
except (RTSLibError, OSError) as error:
    sys.exit(str(error))
