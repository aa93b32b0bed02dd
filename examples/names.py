"""Readable product names out of a till's shorthand: `FRZN BAGGED VEGETABLES - PLAIN` is "Frozen bagged vegetables, plain"."""

from __future__ import annotations

import re

SHORTHAND_TABLE = """
ART=artificial ASST=assorted BBQ=barbecue BKD=baked BN=beans BR=bread BRD=bread BRKFST=breakfast BTL=bottle BTR=butter
CAR=carbonated CARB=carbonated CATFD=cat_food CHICK=chicken CHIX=chicken CHOC=chocolate CHOCOCLATE=chocolate
CHOCOLA=chocolate CLEANG=cleaning CND=canned CRBNTD=carbonated CRMD=creamed CRYSTL=crystal DNR=dinner DNRS=dinners
DOGFD=dog_food DRNK=drink DRNKING=drinking DRNKNG=drinking DRNKS=drinks DRSNG=dressing DSH=dish FD=food FEM=feminine
FLVRD=flavored FRZ=frozen FRZN=frozen GDS=goods HANDKE=handkerchiefs HYGN=hygiene IQF=individually_frozen IWS=sliced
JCE=juice LOZNG=lozenges MACH=machine MISC=assorted MLK=milk MLT=multi MNERAL=mineral MNRL=mineral MX=mix MXS=mixes
PAC=pack PCKGD=packaged PK=pack PKG=package PKLD=pickled PLSTC=plastic PNT=peanut PORTON=portion PREM=premium
PREP=prepared PWDR=powder PWDRS=powders REFRGRATD=refrigerated REFRIG=refrigerated RTS=ready_to_serve SAL=salad
SALD=salad SAUS=sausage SERV=serve SFT=soft SGL=single SHERBTS=sherbets SNDWCH=sandwich SNGL=single SPECILATY=specialty
SPLY=supplies SPRD=spread SRV=serve SS=single_serve STK=stick SUPPPLIES=supplies SV=serve SW=sweet SYRP=syrup
TISS=tissues TORT=tortilla TRSH=trash VAC=vacuum VEG=vegetable VEND=vending WAT=water WATE=water WHL=whole
WHLSM=wholesome WT=weight WTR=water XPCTRNT=expectorant
"""
CUT_OFF_TABLE = """
ALL BA CLU ET EX EXCEPT EXCP FRISK FRISKIE FS GOL GR INCL INCLUDING JU LIF MAY N NO NOT O ONLY OV OVE P PUR S SANDWIC
SECT T W WRA
"""
QUALIFIER_TABLE = """
angus baked blends choice cooked designer economy enhanced gourmet label lean mainstream medium miscellaneous other
popular premium prepackaged primal private raw regular scoop select smoked specialty traditional value
"""
SHORTHAND = {short: long.replace("_", " ") for short, long in (pair.split("=") for pair in SHORTHAND_TABLE.split())}
CUT_OFF = frozenset(CUT_OFF_TABLE.split())  # what a truncated column leaves behind
QUALIFIERS = frozenset(QUALIFIER_TABLE.split())  # say how, not what


def words(text: str) -> str:
    """The shorthand written out in lower case; bracketed and cut-off remarks go."""
    text = re.sub(r"\([^)]*\)?", " ", text.upper()).replace("X-LARGE", "EXTRA LARGE")
    tokens = re.findall(r"[A-Z0-9%']+|[-&/]", text.replace(".", " "))
    spoken = [SHORTHAND.get(short, short.lower()) for short in tokens if short not in CUT_OFF]
    phrase = " ".join("and" if word == "&" else word for word in spoken)
    phrase = re.sub(r"\bnon - ", "non-", phrase)
    phrase = re.sub(r"\s*[-/]\s*", ", ", phrase).strip(" ,-/")
    phrase = re.sub(r"(, )+", ", ", phrase)
    return re.sub(r"^and | and$", "", phrase)


def title(product_type: str, category: str, package_size: str) -> str:
    """What the shop calls a product. A bare quality ("LEAN") takes its noun from the category."""
    name = words(product_type) or words(category)
    if not set(re.findall(r"[a-z]+", name)) - QUALIFIERS:
        name = f"{name} {words(category)}".strip()
    size = package_size.strip().lower()
    name = name[:1].upper() + name[1:]
    return f"{name}, {size}" if size and re.fullmatch(r"[0-9./]+ ?[a-z]+", size) else name
